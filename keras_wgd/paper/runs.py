"""The 48 runs of the paper, and what the authors' code makes of them."""

from keras_wgd.experiments.spec import Grid, RunSpec, StudySpec
from keras_wgd.paper import published

LEARNING_RATES = dict.fromkeys(published.OPTIMIZERS, (published.LEARNING_RATE,))


def _study(name: str, arms: dict[tuple[str, ...], tuple[str, ...]]) -> StudySpec:
    """One seed of each network of Tables 3 to 8, with arms for groups of optimizers."""
    return StudySpec(
        name=name,
        grids=tuple(
            Grid(
                base=RunSpec(
                    dataset=table.dataset,
                    model=table.model,
                    optimizer=optimizers[0],
                    image_size=published.IMAGE_SIZE,
                ),
                learning_rates={name: LEARNING_RATES[name] for name in optimizers},
                arms=of_optimizers,
                seeds=(0,),
            )
            for table in published.TABLES
            for optimizers, of_optimizers in arms.items()
        ),
    )


PAPER = _study("paper", {published.OPTIMIZERS: ("plain", "filters")})

# The released code subtracts each filter's own mean from the gradient or, in RAdam,
# from the step. Its Nadam subtracts nothing.
RELEASED = _study(
    "released",
    {
        ("sgdm", "adam"): ("plain", "fan_in"),
        ("nadam",): ("plain",),
        ("radam",): ("plain", "fan_in-update"),
    },
)
