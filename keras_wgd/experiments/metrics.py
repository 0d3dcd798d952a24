"""The measurements of a run: metrics at its end, curves after each epoch."""

import math

import numpy as np

# The metrics of Tables 3 to 8 of the paper.
METRICS = ("accuracy", "loss", "mean_recall", "mean_precision", "kappa")
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def classification_metrics(labels, logits) -> dict[str, float]:
    """Accuracy, loss, mean recall, mean precision and Cohen's kappa (Eq. 12).

    Args:
        labels: `(n,)`, integers from 0.
        logits: `(n, classes)`.

    Returns:
        The metrics by their names in `METRICS`: those of `confusion_metrics`, and the
        loss, which is the mean cross entropy in nats.

    References:
        Gholamalinejad and Khosravi, 2022, Eq. 12.
    """
    from scipy.special import log_softmax

    logits = np.asarray(logits, dtype="float64")
    log_likelihood = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    scores = confusion_metrics(confusion_matrix(labels, logits))
    scores["loss"] = float(-log_likelihood.mean())
    return {name: scores[name] for name in METRICS}


def confusion_metrics(matrix) -> dict[str, float]:
    """The metrics of a confusion matrix: all of `METRICS` except the loss.

    Args:
        matrix: As `confusion_matrix` gives it, of one image or more.

    Returns:
        Fractions. Recall is the mean over the classes that occur in the labels.
        Precision is the mean over the classes that occur or are predicted, and 0 for
        one that is never predicted. Kappa is NaN if only a single class occurs and is
        predicted.

    References:
        Gholamalinejad and Khosravi, 2022, Eq. 12.
    """
    from sklearn import metrics

    matrix = np.asarray(matrix)
    # A label and a prediction for each cell, with the number in it as their weight.
    labels, predicted = np.nonzero(matrix)
    weights = {"sample_weight": matrix[labels, predicted]}
    occurring, used = np.unique(labels), np.union1d(labels, predicted)
    options = {**weights, "average": "macro", "zero_division": 0}
    recall = metrics.recall_score(labels, predicted, labels=occurring, **options)
    precision = metrics.precision_score(labels, predicted, labels=used, **options)
    kappa = math.nan
    if len(used) > 1:
        kappa = metrics.cohen_kappa_score(labels, predicted, labels=used, **weights)
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted, **weights)),
        "mean_recall": float(recall),
        "mean_precision": float(precision),
        "kappa": float(kappa),
    }


def confusion_matrix(labels, logits) -> np.ndarray:
    """The number of images of each class (rows) that are taken for each (columns)."""
    from sklearn import metrics

    logits = np.asarray(logits)
    return metrics.confusion_matrix(
        labels, logits.argmax(axis=1), labels=np.arange(logits.shape[1])
    )
