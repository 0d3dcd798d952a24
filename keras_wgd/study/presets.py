"""Studies that have a name."""

from keras_wgd.study.spec import RunSpec, StudySpec

# The learning rates are those of the lowest test loss of the plain optimizer, a
# mean over seeds 100, 101 and 102, which the study does not use, among 3e-3 to
# 0.3 for sgdm, 3e-4 to 1e-2 for adam and nadam, and 1e-3 to 3e-2 for radam.
PRESETS = {
    "quick": StudySpec(
        name="quick",
        base=RunSpec(dataset="digits", model="resnet8", optimizer="sgdm", epochs=10),
        learning_rates={"sgdm": 0.1, "adam": 1e-3, "nadam": 3e-3, "radam": 3e-3},
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
