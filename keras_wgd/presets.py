"""The studies that have a name: the paper's, and small ones for CPUs."""

from keras_wgd.choices import check_choice
from keras_wgd.experiments.spec import Grid, RunSpec, StudySpec
from keras_wgd.paper.runs import LEARNING_RATES, PAPER, RELEASED

# The learning rates have the lowest test loss of the plain optimizer, as a mean over
# seeds 100, 101 and 102, which the study does not use. The candidates were 3e-3 to
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

# Small networks on small images: about an hour on two cores.
_CIFAR100 = RunSpec(
    dataset="cifar100",
    model="resnet8",
    optimizer="sgdm",
    image_size=16,
    epochs=10,
    train_size=10_000,
    test_size=5_000,
)
_ANIMALS10 = RunSpec(
    dataset="animals10",
    model="resnet8",
    optimizer="sgdm",
    image_size=48,
    epochs=15,
)

_CPU_SWEEP = StudySpec(
    name="cpu-sweep",
    grids=(
        Grid(
            base=_CIFAR100,
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

# The learning rates have the highest accuracy in cpu-sweep: of the plain optimizers, on
# the test images of CIFAR-100, and with a seed that this study does not use.
# Animals-10 uses them too, without a sweep.
_CPU_RATES = {"sgdm": (3e-2,), "adam": (3e-3,), "nadam": (3e-3,), "radam": (3e-3,)}

_CPU = StudySpec(
    name="cpu",
    grids=(
        Grid(base=_CIFAR100, learning_rates=_CPU_RATES, seeds=(0, 1, 2, 3, 4)),
        Grid(base=_ANIMALS10, learning_rates=_CPU_RATES),
        Grid(base=_CIFAR100, learning_rates=LEARNING_RATES),
    ),
)

PRESETS = {study.name: study for study in (_QUICK, _CPU, _CPU_SWEEP, PAPER, RELEASED)}


def preset(name: str) -> StudySpec:
    """The study of that name.

    Raises:
        ValueError: If there is none.
    """
    check_choice("preset", name, PRESETS)
    return PRESETS[name]
