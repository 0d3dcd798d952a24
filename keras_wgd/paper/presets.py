"""Studies that have a name."""

from keras_wgd.choices import check_choice
from keras_wgd.experiments.spec import Grid, RunSpec, StudySpec

_PAPER_RATE = dict.fromkeys(("sgdm", "adam", "nadam", "radam"), (0.01,))


def _paper_bases() -> list[RunSpec]:
    """Table 1 on each data set and network of Tables 3 to 8, in their order."""
    return [
        RunSpec(dataset=dataset, model=model, optimizer="sgdm", image_size=224)
        for dataset in ("animals10", "cifar100")
        for model in ("densenet121", "resnet18", "resnet50")
    ]


# The 48 runs.
_PAPER = StudySpec(
    name="paper",
    grids=tuple(
        Grid(
            base=base,
            learning_rates=_PAPER_RATE,
            arms=("plain", "filters"),
            seeds=(0,),
        )
        for base in _paper_bases()
    ),
)

# What the authors' code does, beside the plain optimizers: each filter's own mean, of
# the gradient or, in RAdam, of the step; its Nadam centres nothing.
_RELEASED = StudySpec(
    name="released",
    grids=tuple(
        Grid(
            base=base,
            learning_rates=dict.fromkeys(optimizers, (0.01,)),
            arms=arms,
            seeds=(0,),
        )
        for base in _paper_bases()
        for optimizers, arms in (
            (("sgdm", "adam"), ("plain", "fan_in")),
            (("nadam",), ("plain",)),
            (("radam",), ("plain", "fan_in-update")),
        )
    ),
)

# The learning rates are those of the lowest test loss of the plain optimizer, a
# mean over seeds 100, 101 and 102, which the study does not use, among 3e-3 to
# 0.3 for sgdm, 3e-4 to 1e-2 for adam and nadam, and 1e-3 to 3e-2 for radam.
_QUICK = StudySpec(
    name="quick",
    grids=(
        Grid(
            base=RunSpec(
                dataset="digits",
                model="resnet8",
                optimizer="sgdm",
                epochs=10,
                sampler="shuffled",
            ),
            learning_rates={
                "sgdm": (0.1,),
                "adam": (1e-3,),
                "nadam": (3e-3,),
                "radam": (3e-3,),
            },
        ),
    ),
)

# What two cores do in about an hour: small networks on small images.
_CPU_BASES = (
    RunSpec(
        dataset="cifar100",
        model="resnet8",
        optimizer="sgdm",
        image_size=16,
        epochs=10,
        train_size=10_000,
        test_size=5_000,
    ),
    RunSpec(
        dataset="animals10",
        model="resnet8",
        optimizer="sgdm",
        image_size=48,
        epochs=15,
    ),
)

_CPU_SWEEP = StudySpec(
    name="cpu-sweep",
    grids=(
        Grid(
            base=_CPU_BASES[0],
            learning_rates={
                "sgdm": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
                "adam": (3e-4, 1e-3, 3e-3, 1e-2),
                "nadam": (3e-4, 1e-3, 3e-3, 1e-2),
                "radam": (1e-3, 3e-3, 1e-2, 3e-2),
            },
            arms=("plain",),
            seeds=(100,),
        ),
    ),
)

# Those of the highest accuracy in cpu-sweep: of the plain optimizers, on the test
# images of CIFAR-100, and on a seed that this study does not use. Animals-10 has them
# unswept.
_CPU_RATES = {"sgdm": (3e-2,), "adam": (3e-3,), "nadam": (3e-3,), "radam": (3e-3,)}

_CPU = StudySpec(
    name="cpu",
    grids=(
        Grid(base=_CPU_BASES[0], learning_rates=_CPU_RATES, seeds=(0, 1, 2, 3, 4)),
        Grid(base=_CPU_BASES[1], learning_rates=_CPU_RATES),
        Grid(base=_CPU_BASES[0], learning_rates=_PAPER_RATE),
    ),
)

PRESETS = {study.name: study for study in (_QUICK, _CPU, _CPU_SWEEP, _PAPER, _RELEASED)}


def preset(name: str) -> StudySpec:
    """The study of that name.

    Raises:
        ValueError: If there is none.
    """
    check_choice("preset", name, PRESETS)
    return PRESETS[name]
