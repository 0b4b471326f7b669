"""Buckets: the few fixed lengths that sequences are padded to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from attnzoo.features.info import DataInfo, Lengths

MAX_DISTINCT_LENGTHS = 64
"""Lengths are rounded up until each feature has at most this many distinct ones to choose buckets from."""


def make_buckets(sizes: Mapping[str, np.ndarray], num_buckets: int, max_length: int) -> tuple[Lengths, ...]:
    """Chooses fixed lengths that need little padding.

    Each bucket is at least as long as the previous one in every feature, and the last one fits all texts. The
    others start at quantiles of the lengths and are adjusted by local search.

    Args:
        sizes: feature -> length of each value of train, <int>[examples].
        num_buckets: largest number of buckets.
        max_length: length of the longest bucket, in tokens.

    Examples:
        >>> make_buckets({"text": np.array([2, 2, 3, 9])}, num_buckets=2, max_length=256)
        ({'text': 4}, {'text': 10})
    """
    lengths = np.stack([np.clip(values, 1, max_length) for values in sizes.values()], axis=1)
    unit = 2 ** max(1, math.ceil(math.log2(lengths.max() / MAX_DISTINCT_LENGTHS)))
    units, counts = np.unique(-(-lengths // unit), axis=0, return_counts=True)  # [distinct, features]
    quantiles = np.linspace(0, 1, num_buckets + 1)[1:]
    buckets = np.quantile(-(-lengths // unit), quantiles, axis=0, method="higher")
    best = _num_padded_tokens(buckets, units, counts)
    moves = [
        np.array(directions) * size
        for size in (8, 4, 2, 1)
        for directions in itertools.product((-1, 0, 1), repeat=len(sizes))
        if any(directions)
    ]
    improved = True
    while improved:
        improved = False
        for number, move in itertools.product(range(num_buckets - 1), moves):
            moved = buckets.copy()
            moved[number] += move
            if moved.min() < 1 or (np.diff(moved, axis=0) < 0).any():
                continue
            padded = _num_padded_tokens(moved, units, counts)
            if padded < best:
                buckets, best, improved = moved, padded, True
    chosen = np.unique(np.minimum(buckets * unit, max_length), axis=0)  # sorted, as they are nested
    return tuple(dict(zip(sizes, map(int, bucket), strict=True)) for bucket in chosen)


def _num_padded_tokens(buckets: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> int:
    """Returns the number of tokens of all texts, each padded to the first bucket that fits.

    Args:
        buckets: <int>[buckets, features], ascending in every feature; the last one fits all texts.
        lengths: <int>[distinct, features].
        counts: <int>[distinct], number of examples with these lengths.
    """
    fits = (lengths[:, None] <= buckets).all(axis=-1)  # [distinct, buckets]
    return int(counts @ buckets.sum(axis=1)[fits.argmax(axis=1)])


def assign_buckets(sizes: Mapping[str, np.ndarray], buckets: tuple[Lengths, ...]) -> np.ndarray:
    """Returns <int32>[examples]: the first bucket that fits each example, or else the last one."""
    count = len(next(iter(sizes.values())))
    assigned = np.full(count, len(buckets) - 1, np.int32)
    for number in range(len(buckets) - 2, -1, -1):
        fits = np.ones(count, bool)
        for name, values in sizes.items():
            fits &= values <= buckets[number][name]
        assigned[fits] = number
    return assigned


def truncated_fraction(sizes: Mapping[str, np.ndarray], longest: Lengths) -> float:
    """Returns the fraction of tokens that is truncated, 0 to 1."""
    total = sum(int(values.sum()) for values in sizes.values())
    lost = sum(int(np.maximum(values - longest[name], 0).sum()) for name, values in sizes.items())
    return lost / max(1, total)


def truncated_examples(sizes: Mapping[str, np.ndarray], longest: Lengths) -> np.ndarray:
    """Returns <bool>[examples]: whether a sequence of the example is truncated."""
    return np.any([values > longest[name] for name, values in sizes.items()], axis=0)


def beyond_training(sizes: Mapping[str, np.ndarray], info: DataInfo) -> np.ndarray:
    """Returns <bool>[examples]: whether a sequence, as read, is longer than any in training."""
    read = {name: np.minimum(values, info.lengths[-1][name]) for name, values in sizes.items()}
    return truncated_examples(read, info.buckets[-1])
