"""Studies that have a name."""

from keras_wgd.study.spec import RunSpec, StudySpec

PRESETS = {
    "quick": StudySpec(
        name="quick",
        base=RunSpec(dataset="digits", model="resnet8", optimizer="sgdm", epochs=10),
        learning_rates={"sgdm": 0.01, "adam": 0.01, "nadam": 0.01, "radam": 0.01},
    ),
}


def preset(name: str) -> StudySpec:
    """The study of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in PRESETS:
        raise ValueError(
            f"preset must be one of {', '.join(PRESETS)}. Received: {name!r}"
        )
    return PRESETS[name]
