"""The data of runs, and checks that come before hours of work; without Keras."""

import functools
from collections.abc import Sequence

from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.tasks import datasets, models

_load = functools.cache(datasets.load)


def load(spec: RunSpec, options: Options) -> datasets.Dataset:
    """The data set of a run; runs with the same data set share it.

    Raises:
        ValueError: If it cannot be loaded.
    """
    return _load(
        spec.dataset,
        options.data_dir,
        spec.train_size,
        spec.test_size,
        spec.image_size,
    )


def check(specs: Sequence[RunSpec], options: Options) -> tuple[list[str], list[str]]:
    """Check as much as possible that runs can be made.

    Returns:
        A line for each image that is skipped, and the warnings of the data sets, each
        once.

    Raises:
        ValueError: If a network or a data set is not available, or if they do not fit.
    """
    for spec in specs:
        models.check(spec.model, stem=spec.stem)
    for spec in specs:
        # Keras is imported only for what it alone knows.
        if spec.optimizer not in OPTIMIZERS or spec.optimizer_settings:
            from keras_wgd.experiments.training.build import settings_of

            settings_of(spec)
    problems, warnings = dict[str, None](), dict[str, None]()
    for spec in specs:
        data = load(spec, options)
        data.check_batch_size(spec.batch_size)
        models.check(spec.model, data.image_shape, spec.stem)
        problems |= dict.fromkeys(data.problems)
        warnings |= dict.fromkeys(data.warnings)
    return list(problems), list(warnings)
