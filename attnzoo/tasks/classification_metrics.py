"""Metrics of single-label classification: F1, kappa, top-5 accuracy and calibration."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator

import numpy as np
from scipy import optimize, special
from sklearn import metrics

CALIBRATION_BINS = 15
TOP = 5
MAX_TEMPERATURE = 10.0
"""Bound of fitted temperatures, and its inverse: if every example is correct, the optimum would be 0."""

_TINY = np.finfo(np.float64).tiny


def compute_metrics(
    probabilities: np.ndarray, labels: np.ndarray, temperature: float | None = None
) -> dict[str, float]:
    """Computes the metrics of predicted class probabilities.

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], true classes.
        temperature: see `apply_temperature`; None leaves out the metrics after scaling.

    Returns:
        `macro_f1` (mean over the classes that occur, as true or predicted label), `cohen_kappa` (agreement
        beyond chance, at most 1; undefined and left out if only one class occurs), for more than five
        classes `top_5_accuracy` (the true label is among the five most probable), `calibration_error` and,
        with a temperature, `temperature` and `scaled_calibration_error`.

    Examples:
        >>> probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
        >>> metrics = compute_metrics(probabilities, np.array([0, 1, 1]))
        >>> {name: round(value, 3) for name, value in metrics.items()}
        {'macro_f1': 0.667, 'cohen_kappa': 0.4, 'calibration_error': 0.3}

    Reference: Cohen 1960, https://doi.org/10.1177/001316446002000104
    """
    predicted = probabilities.argmax(axis=1)
    with _ignore_class_count_warning():
        results: dict[str, float] = {
            "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0.0))
        }
        if len(np.union1d(labels, predicted)) > 1:
            results["cohen_kappa"] = float(metrics.cohen_kappa_score(labels, predicted))
    if probabilities.shape[1] > TOP:
        top = np.argpartition(-probabilities, TOP - 1, axis=1)[:, :TOP]  # [examples, 5]
        results[f"top_{TOP}_accuracy"] = float((top == labels[:, None]).any(axis=1).mean())
    results["calibration_error"] = calibration_error(probabilities, labels)
    if temperature is not None:
        results["temperature"] = temperature
        results["scaled_calibration_error"] = calibration_error(
            apply_temperature(probabilities, temperature), labels
        )
    return results


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns <int64>[classes, classes]: counts of examples by true class (row) and predicted class (column).

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], true classes.

    Examples:
        >>> confusion_matrix(np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]), np.array([0, 1, 1]))
        array([[1, 0],
               [1, 1]])
    """
    with _ignore_class_count_warning():
        classes = range(probabilities.shape[1])
        return metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes)


@contextlib.contextmanager
def _ignore_class_count_warning() -> Iterator[None]:
    """Suppresses scikit-learn's warning about many classes with few examples each: it is no mistake."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the expected calibration error: how far confidence is from accuracy.

    ECE = sum over bins of |B| / n * |accuracy(B) - confidence(B)|. Confidence is the probability of the
    predicted class; bin m of 15 has the examples with a confidence in ((m - 1) / 15, m / 15].

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], true classes.

    Returns:
        0 (calibrated) to 1.

    Examples:
        >>> round(calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 3)
        0.4

    Reference: Guo et al. 2017, section 2, https://arxiv.org/abs/1706.04599
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    bins = np.digitize(confidence, inner_edges, right=True)
    gaps = np.bincount(bins, correct - confidence)  # [bins], |B| * (accuracy(B) - confidence(B))
    return float(np.abs(gaps).sum() / len(labels))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns softmax(z / T) <float64>[examples, classes] for probabilities = softmax(z).

    The logarithm of a probability is its logit up to a constant, which softmax ignores.

    Examples:
        >>> apply_temperature(np.array([[0.9, 0.1]]), 2.0)
        array([[0.75, 0.25]])
    """
    return special.softmax(_log(probabilities) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Returns the temperature T, 0.1 to 10, that minimizes -mean log softmax(z / T)[label].

    The loss is convex in 1 / T, so there is one minimum. T does not change which class is predicted: it is
    above 1 for an overconfident model, below 1 for an underconfident one.

    Args:
        probabilities: <float64>[examples, classes], softmax(z).
        labels: <int32>[examples], true classes.

    Returns:
        T, or None if a probability is not finite.

    Reference: Guo et al. 2017, section 4.2, https://arxiv.org/abs/1706.04599
    """
    logits = _log(probabilities)
    if not np.isfinite(logits).all():
        return None
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -special.log_softmax(logits / math.exp(log_temperature), axis=1)[rows, labels].mean()

    limit = math.log(MAX_TEMPERATURE)
    return math.exp(optimize.minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, _TINY))
