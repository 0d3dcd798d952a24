"""The commands with which the help of each command teaches it."""

# A line of the help holds so many letters in a terminal of 80 columns.
_WIDTH = 76

EXAMPLES = {
    "kernels": (
        ("A network of keras.applications", "keras-wgd kernels mobilenetv2"),
        (
            "A model of your own, for a program to read",
            "keras-wgd kernels model.keras --mean-over fan_in --json",
        ),
    ),
    "run": (
        ("Seconds, on images that need no download", "keras-wgd run --dataset digits"),
        (
            "The same with WGD, kept, and its model too",
            "keras-wgd run --dataset digits --mean-over filters --save-model "
            "--out runs/mine",
        ),
        (
            "On CIFAR-100, whose files are in data/",
            "keras-wgd run --dataset cifar100 --data-dir data --model resnet8 "
            "--optimizer radam --mean-over filters --epochs 1 --train-size 5000",
        ),
    ),
    "study": (
        ("36 runs in minutes", "keras-wgd study --preset quick --out runs/quick"),
        (
            "What the paper's study would be, and which of it is to be made yet",
            "keras-wgd study --preset paper --data-dir data --out runs/paper --dry-run",
        ),
        (
            "A part of it, at the size of the images",
            "keras-wgd study --preset paper --dataset cifar100 --model resnet18 "
            "--image-size 32 --stem small --data-dir data --out runs/resnet18",
        ),
        (
            "The second of eight machines",
            "keras-wgd study --preset cpu --shard 2/8 --data-dir data --out runs/cpu",
        ),
    ),
    "report": (
        ("Tables, figures and report.html", "keras-wgd report runs/quick"),
        (
            "Of what two machines have made, for a program to read",
            "keras-wgd report runs/one runs/other --out report --json",
        ),
    ),
    "bench": (
        ("All steps on a network's weights", "keras-wgd bench --model resnet18"),
        (
            "One optimizer and one mean, in whole steps of fit too",
            "keras-wgd bench --model resnet18 --optimizer radam --mean-over filters "
            "--train-step --image-size 64",
        ),
        (
            "How it grows, as a figure",
            "keras-wgd bench --growth runs/growth --backend jax",
        ),
    ),
}


def folded(command: str) -> list[str]:
    """A command in lines that a terminal does not break and a shell reads as one."""
    lines = [""]
    for part in command.split(" --"):
        option = f"--{part}" if lines[-1] else part
        if len(lines[-1]) + len(option) + 3 > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {option}")
        else:
            lines[-1] += f" {option}" if lines[-1] else option
    return lines


def epilog(command: str) -> str:
    """The end of a command's help, whose lines Typer leaves alone."""
    lines = ["[bold]Examples[/bold]"]
    for comment, text in EXAMPLES[command]:
        lines += [f"[dim]# {comment}[/dim]", *folded(text)]
    return "\b\n" + "\n".join(lines)
