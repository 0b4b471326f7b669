"""How good and how well calibrated the probabilities of a classifier are."""

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
"""Temperatures are fitted from the inverse of this to this: where every example is right, the best is 0."""

_TINY = np.finfo(np.float64).tiny


def metrics_of(
    probabilities: np.ndarray, labels: np.ndarray, temperature: float | None = None
) -> dict[str, float]:
    """Scores predictions of one label out of several.

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], the true ones.
        temperature: see `scaled`; None: no figures after scaling.

    Returns:
        `macro_f1` (the mean over the classes that occur, as true label or as predicted one), `cohen_kappa`
        (agreement beyond chance, at most 1; not where one class alone occurs: all is chance there), of more
        than five classes `top_5_accuracy` (the true label is among the five most probable),
        `calibration_error` and, with a temperature, `temperature` and `scaled_calibration_error`.

    Reference: Cohen 1960, https://doi.org/10.1177/001316446002000104
    """
    predicted = probabilities.argmax(axis=1)
    with _no_advice():
        found = {"macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0.0))}
        if len(np.union1d(labels, predicted)) > 1:
            found["cohen_kappa"] = float(metrics.cohen_kappa_score(labels, predicted))
    if probabilities.shape[1] > TOP:
        most = np.argpartition(-probabilities, TOP - 1, axis=1)[:, :TOP]  # [examples, 5]
        found[f"top_{TOP}_accuracy"] = float((most == labels[:, None]).any(axis=1).mean())
    found["calibration_error"] = calibration_error(probabilities, labels)
    if temperature is not None:
        found["temperature"] = temperature
        found["scaled_calibration_error"] = calibration_error(scaled(probabilities, temperature), labels)
    return found


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns <int64>[classes, classes]: numbers of examples by true label (row) and predicted one (column).

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], the true ones.
    """
    with _no_advice():
        every = range(probabilities.shape[1])
        return metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=every)


@contextlib.contextmanager
def _no_advice() -> Iterator[None]:
    """Many classes of few examples are no mistake."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: how far confidence is from accuracy.

    ECE = sum over bins of |B| / n * |accuracy(B) - confidence(B)|. Confidence is the probability of the
    predicted class; bin m of 15 has the examples with a confidence in ((m - 1) / 15, m / 15].

    Args:
        probabilities: <float64>[examples, classes].
        labels: <int32>[examples], the true ones.

    Returns:
        0 (honest) to 1.

    Reference: Guo et al. 2017, section 2, https://arxiv.org/abs/1706.04599
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    bins = np.digitize(confidence, inner_edges, right=True)
    gaps = np.bincount(bins, right - confidence)  # [bins], |B| * (accuracy(B) - confidence(B))
    return float(np.abs(gaps).sum() / len(labels))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns softmax(z / T) <float64>[examples, classes] for probabilities = softmax(z).

    The logarithm of a probability is its logit but for a constant, which softmax does not see.
    """
    return special.softmax(_log(probabilities) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Returns the temperature T, 0.1 to 10, with the least -mean log softmax(z / T)[label].

    The loss is convex in 1 / T, so there is one minimum. T changes no prediction: it is above 1 where a model
    is too sure, below 1 where it is not sure enough.

    Args:
        probabilities: <float64>[examples, classes], softmax(z).
        labels: <int32>[examples], the true ones.

    Returns:
        T, or None where a probability is not finite.

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
