"""What a run is made from: its data, and the checks that come before hours of work."""

import functools
from collections.abc import Sequence

from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.tasks import datasets, models

_load = functools.cache(datasets.load)


def load(spec: RunSpec, options: Options) -> datasets.Dataset:
    """The data set of a run; runs with the same one share it.

    Args:
        spec: The run.
        options: Where its files are.

    Returns:
        The data set, of the sizes that the spec names.

    Raises:
        ValueError: If it cannot be had.
    """
    return _load(
        spec.dataset,
        options.data_dir,
        spec.train_size,
        spec.test_size,
        spec.image_size,
    )


def check(specs: Sequence[RunSpec], options: Options) -> tuple[list[str], list[str]]:
    """See that runs can be made, as far as that can be told before, without Keras.

    Args:
        specs: The runs.
        options: How to make them.

    Returns:
        A line for each image that is skipped, and the warnings of the data sets, each
        once.

    Raises:
        ValueError: If a network or a data set cannot be had, or they do not fit.
    """
    for spec in specs:
        models.check(spec.model, stem=spec.stem)
    problems, warnings = dict[str, None](), dict[str, None]()
    for spec in specs:
        data = load(spec, options)
        data.check_batch_size(spec.batch_size)
        models.check(spec.model, data.image_shape, spec.stem)
        problems |= dict.fromkeys(data.problems)
        warnings |= dict.fromkeys(data.warnings)
    return list(problems), list(warnings)
