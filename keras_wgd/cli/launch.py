"""Makes the runs of a study, and shows their progress."""

import contextlib
from pathlib import Path

from rich.console import Console

from keras_wgd.cli import display
from keras_wgd.experiments.launch import cluster, runner
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.progress import RunsBar


def make_runs(
    console: Console,
    out: Path,
    specs: list[RunSpec],
    jobs: int,
    options: Options,
    ray: str | None = None,
) -> int:
    """Make the runs that are not finished, and return the number that failed.

    `jobs` processes make them, or the Ray cluster at the address `ray`.
    """
    finished, waiting = runner.split(out, specs)
    if finished:
        console.print(f"{len(finished)} of {len(specs)} runs are finished already")
        if options.save_model or options.tensorboard:
            console.print(
                "--save-model and --tensorboard hold for the runs that are not finished"
            )
    if not specs:
        display.print_no_run(console)
    if not waiting:
        return 0
    events = (
        runner.run_all(out, waiting, jobs, options)
        if ray is None
        else cluster.run_all(out, waiting, jobs, ray, options)
    )
    done, failed = len(finished), 0
    epochs = sum(spec.epochs for spec in waiting)
    bar = RunsBar(console, f"{len(waiting)} runs", epochs)
    try:
        with contextlib.closing(events), bar:
            for event in events:
                spec = event.spec
                bar.see(event.kind, spec)
                if event.kind == "finish":
                    done += 1
                    display.print_finish(bar.console, done, len(specs), event.detail)
                if event.kind == "fail":
                    failed += 1
                    display.print_failure(bar.console, spec, event.detail)
    except (KeyboardInterrupt, SystemExit):
        console.print(
            f"stopped: {done} of {len(specs)} runs are finished; "
            "the same command resumes the others"
        )
        raise
    return failed
