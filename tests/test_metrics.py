import numpy as np
import pytest
import sklearn.metrics

from keras_wgd.experiments import metrics

pytestmark = pytest.mark.any_backend


def logits_of(predicted, classes):
    return np.eye(classes)[predicted] * 3.0


def test_metrics_by_hand():
    # Rows are the classes, columns what they are taken for; the last class is
    # never predicted.
    table = np.array([[4, 1, 0], [1, 2, 0], [1, 1, 0]])
    labels = np.repeat(np.arange(3), table.sum(axis=1))
    predicted = np.concatenate([np.repeat(np.arange(3), row) for row in table])
    logits = logits_of(predicted, 3)
    scores = metrics.classification_metrics(labels, logits)
    chance = (5 * 6 + 3 * 4 + 2 * 0) / 100
    assert scores["accuracy"] == pytest.approx(0.6)
    assert scores["mean_recall"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert scores["mean_precision"] == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)
    assert scores["kappa"] == pytest.approx((0.6 - chance) / (1 - chance))
    right = -np.log(np.exp(3) / (np.exp(3) + 2))
    assert scores["loss"] == pytest.approx(0.6 * right + 0.4 * (right + 3))
    assert tuple(scores) == metrics.METRICS
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, logits), table)


def test_classes_without_images():
    labels = np.arange(0, 80, 2)
    scores = metrics.classification_metrics(labels, logits_of(labels, 100))
    assert (scores["mean_recall"], scores["mean_precision"]) == (1.0, 1.0)
    # Class 2 is predicted without occurring, class 1 occurs and is never predicted.
    scores = metrics.classification_metrics([0, 0, 1], logits_of([0, 2, 0], 5))
    assert scores["mean_recall"] == pytest.approx((1 / 2 + 0) / 2)
    assert scores["mean_precision"] == pytest.approx((1 / 2 + 0 + 0) / 3)


def test_metrics_against_scikit_learn():
    random = np.random.default_rng(0)
    for classes in (2, 3, 10):
        labels, predicted = random.integers(classes, size=(2, 30))
        scores = metrics.classification_metrics(labels, logits_of(predicted, classes))
        macro = {"average": "macro", "zero_division": 0}
        occurring = np.unique(labels)
        expected = {
            "accuracy": sklearn.metrics.accuracy_score(labels, predicted),
            "mean_recall": sklearn.metrics.recall_score(
                labels, predicted, labels=occurring, **macro
            ),
            "mean_precision": sklearn.metrics.precision_score(
                labels, predicted, **macro
            ),
            "kappa": sklearn.metrics.cohen_kappa_score(labels, predicted),
        }
        del scores["loss"]
        assert scores == pytest.approx(expected)


def test_kappa_of_one_class():
    scores = metrics.classification_metrics([1, 1], logits_of([1, 1], 3))
    assert np.isnan(scores["kappa"])
    assert scores["mean_recall"] == scores["mean_precision"] == 1.0


def test_loss_of_a_certain_error():
    scores = metrics.classification_metrics([0], [[-1000.0, 0.0]])
    assert scores["loss"] == pytest.approx(1000)


def test_confusion_matrix_has_all_classes():
    matrix = metrics.confusion_matrix([0, 0], logits_of([0, 2], 4))
    assert matrix.shape == (4, 4)
    assert matrix[0].tolist() == [1, 0, 1, 0]
