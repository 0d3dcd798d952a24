"""The metrics that Tables 3 to 8 of the paper print."""

import numpy as np

METRICS = ("accuracy", "loss", "mean_recall", "mean_precision", "kappa")


def classification_metrics(labels, logits) -> dict[str, float]:
    """Accuracy, loss, mean recall, mean precision and Cohen's kappa (Eq. 12).

    Args:
        labels: `(n,)`, integers from 0.
        logits: `(n, classes)`.

    Returns:
        Each metric by its name in `METRICS`. All but the loss, the mean cross
        entropy in nats, are fractions. Recall and precision are means over the
        classes; a class that is never predicted has a precision of 0.

    References:
        Gholamalinejad and Khosravi, 2022, Eq. 12.
    """
    from scipy.special import log_softmax
    from sklearn import metrics

    logits = np.asarray(logits, dtype="float64")
    classes = np.arange(logits.shape[1])
    predicted = logits.argmax(axis=1)
    log_likelihood = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    options = {"labels": classes, "average": "macro", "zero_division": 0}
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "loss": float(-log_likelihood.mean()),
        "mean_recall": float(metrics.recall_score(labels, predicted, **options)),
        "mean_precision": float(metrics.precision_score(labels, predicted, **options)),
        "kappa": float(metrics.cohen_kappa_score(labels, predicted, labels=classes)),
    }


def confusion_matrix(labels, logits) -> np.ndarray:
    """How many images of each class (rows) are taken for which (columns)."""
    from sklearn import metrics

    logits = np.asarray(logits)
    return metrics.confusion_matrix(
        labels, logits.argmax(axis=1), labels=np.arange(logits.shape[1])
    )
