"""Results of runs that nobody has made."""

import dataclasses

from keras_wgd.experiments.metrics import confusion_metrics
from keras_wgd.experiments.spec import arm_fields
from keras_wgd.experiments.store.results import Result

LOSSES = (3.0, 2.0, 1.5, 1.25)


def result_of(
    spec,
    arm=None,
    losses=None,
    environment=None,
    confusion=((1, 2), (3, 4)),
    **metrics,
):
    """A result of a run, or of the same run of another arm.

    Losses are those of training and of the test. Metrics that are not given are those
    of the losses and the confusion matrix; a result with others cannot be read again.
    """
    if arm is not None:
        spec = dataclasses.replace(spec, **arm_fields(arm))
    if losses is None:
        losses = (*LOSSES, *[LOSSES[-1]] * spec.epochs)[: spec.epochs]
    metrics = {"loss": losses[-1], **confusion_metrics(confusion), **metrics}
    accuracies = [
        metrics["accuracy"] * (i + 1) / spec.epochs for i in range(spec.epochs)
    ]
    return Result(
        spec=spec,
        metrics=metrics,
        curves={
            "train_loss": list(losses),
            "train_accuracy": accuracies,
            "test_loss": list(losses),
            "test_accuracy": accuracies,
        },
        seconds=[1.0] * spec.epochs,
        norm_ratios=[] if spec.mean_over is None else [0.99] * spec.epochs,
        confusion=[list(row) for row in confusion],
        centered=0 if spec.mean_over is None else 9,
        environment={"backend": "jax"} if environment is None else environment,
    )
