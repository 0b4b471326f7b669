"""The probability from which on each label of a multi-label classifier is predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnzoo.features.labels import THRESHOLD

MIN_EXAMPLES = 10
"""A label with fewer examples takes the threshold that is best for all labels together."""
MAX_DECISIONS = 1 << 22
"""That threshold is fitted to the decisions about evenly spaced examples where there are more."""
_SMALLEST = 1e-6
"""Thresholds are in the open interval from 0 to 1, this far from its ends at least."""

Thresholds = Mapping[str, float]
"""Label -> threshold, above 0 and below 1."""


def resolve(
    option: str | float | Thresholds, names: Sequence[str], fitted: Thresholds | None
) -> Thresholds | None:
    """Returns the threshold of each label that has another one than 1/2; None if `auto` is not fitted yet.

    Args:
        option: `eval.threshold`.
        names: names of the labels.
        fitted: the thresholds that `fit` gave, if there are any.

    Examples:
        >>> resolve(0.3, ["a", "b"], None)
        {'a': 0.3, 'b': 0.3}
    """
    if option == "auto":
        return fitted
    if isinstance(option, Mapping):
        return option
    return {} if option == THRESHOLD else dict.fromkeys(names, float(option))


def fit(probabilities: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Thresholds:
    """Returns the threshold of each label that gives the highest F1 of that label.

    A label that fewer than ten examples have takes the threshold with the highest F1 over the decisions about
    all labels: chosen from so few examples, its own would be an accident.

    Args:
        probabilities: <float64>[examples, classes].
        truth: <bool>[examples, classes], the true labels.
        names: names of the labels.

    Examples:
        >>> probabilities = np.linspace(0.05, 0.95, 20)[:, None]
        >>> {name: round(value, 2) for name, value in fit(probabilities, probabilities > 0.3, ["a"]).items()}
        {'a': 0.31}

    Reference: Lewis et al. 2004, section 7.3 (SCut), https://www.jmlr.org/papers/v5/lewis04a.html
    """
    is_rare = np.count_nonzero(truth, axis=0) < MIN_EXAMPLES
    shared = _shared_threshold(probabilities, truth) if is_rare.any() else THRESHOLD
    columns = zip(is_rare, probabilities.T, truth.T, strict=True)
    values = [shared if rare else best_threshold(*column) for rare, *column in columns]
    return dict(zip(names, values, strict=True))


def _shared_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Returns the best threshold of the decisions about all labels, of at most `MAX_DECISIONS` of them."""
    every = max(1, math.ceil(truth.size / MAX_DECISIONS))
    return best_threshold(probabilities[::every].ravel(), truth[::every].ravel())


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Returns the threshold with the highest F1; of several equal ones the one nearest to 1/2.

    It is in the middle between the smallest probability that is accepted and the largest that is not.

    Args:
        probabilities: <float64>[decisions].
        truth: <bool>[decisions].

    Examples:
        >>> best_threshold(np.array([0.1, 0.2, 0.4, 0.3]), np.array([False, False, True, True]))
        0.25
    """
    if not truth.any():
        return THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    descending, correct = probabilities[order], np.cumsum(truth[order])
    accepted = np.arange(1, len(order) + 1)
    f1 = 2.0 * correct / (accepted + correct[-1])  # of accepting the first 1, 2, ... decisions
    following = np.append(descending[1:], 0.0)
    middles = (descending + following) / 2.0
    best = np.flatnonzero(
        (descending > following) & (f1 > f1[descending > following].max(initial=0.0) - 1e-12)
    )
    if not len(best):  # all probabilities are 0
        return THRESHOLD
    middle = middles[best[np.argmin(np.abs(middles[best] - THRESHOLD))]]
    return float(np.clip(middle, _SMALLEST, 1.0 - _SMALLEST))


def read(value: Any) -> Thresholds:
    """Returns thresholds that were saved as JSON.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(value, dict) or not all(
        isinstance(one, float) and 0.0 < one < 1.0 and math.isfinite(one) for one in value.values()
    ):
        raise ValueError("thresholds: expected numbers above 0 and below 1")
    return value
