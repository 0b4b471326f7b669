"""The few lengths that values are padded to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from attnzoo.features.info import DataInfo, Lengths

MAX_LENGTHS = 64
"""Most distinct lengths of a feature that buckets are chosen from."""


def make_buckets(sizes: Mapping[str, np.ndarray], num_buckets: int, max_length: int) -> tuple[Lengths, ...]:
    """Chooses the fixed lengths that make few padded tokens.

    Each bucket is at least as long as the one before, in every feature; the last one holds all texts. The
    others start at quantiles of the lengths and move for as long as that saves padding.

    Args:
        sizes: feature -> length of each value of train, <int>[examples].
        num_buckets: most buckets.
        max_length: no bucket is longer, in tokens.
    """
    lengths = np.stack([np.clip(of_feature, 1, max_length) for of_feature in sizes.values()], axis=1)
    unit = 2 ** max(1, math.ceil(math.log2(lengths.max() / MAX_LENGTHS)))
    units, counts = np.unique(-(-lengths // unit), axis=0, return_counts=True)  # [distinct, features]
    quantiles = np.linspace(0, 1, num_buckets + 1)[1:]
    buckets = np.quantile(-(-lengths // unit), quantiles, axis=0, method="higher")
    fewest = _padded_tokens(buckets, units, counts)
    moves = [
        np.array(signs) * size
        for size in (8, 4, 2, 1)
        for signs in itertools.product((-1, 0, 1), repeat=len(sizes))
        if any(signs)
    ]
    improved = True
    while improved:
        improved = False
        for number, move in itertools.product(range(num_buckets - 1), moves):
            moved = buckets.copy()
            moved[number] += move
            if moved.min() < 1 or (np.diff(moved, axis=0) < 0).any():
                continue
            padded = _padded_tokens(moved, units, counts)
            if padded < fewest:
                buckets, fewest, improved = moved, padded, True
    chosen = np.unique(np.minimum(buckets * unit, max_length), axis=0)  # sorted, as they are nested
    return tuple(dict(zip(sizes, map(int, bucket), strict=True)) for bucket in chosen)


def _padded_tokens(buckets: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> int:
    """Returns the size of all texts, each padded to its first fitting bucket.

    Args:
        buckets: <int>[buckets, features], nested; the last one fits all.
        lengths: <int>[distinct, features].
        counts: <int>[distinct], examples of these lengths.
    """
    fits = (lengths[:, None] <= buckets).all(axis=-1)  # [distinct, buckets]
    return int(counts @ buckets.sum(axis=1)[fits.argmax(axis=1)])


def assign_buckets(sizes: Mapping[str, np.ndarray], buckets: tuple[Lengths, ...]) -> np.ndarray:
    """Returns <int32>[examples]: the first bucket that an example fits into, or the last one."""
    count = len(next(iter(sizes.values())))
    assigned = np.full(count, len(buckets) - 1, np.int32)
    for number in range(len(buckets) - 2, -1, -1):
        fits = np.ones(count, bool)
        for name, of_feature in sizes.items():
            fits &= of_feature <= buckets[number][name]
        assigned[fits] = number
    return assigned


def truncated_fraction(sizes: Mapping[str, np.ndarray], longest: Lengths) -> float:
    """Returns the fraction of tokens beyond what is read, 0 to 1."""
    total = sum(int(of_feature.sum()) for of_feature in sizes.values())
    lost = sum(int(np.maximum(of_feature - longest[name], 0).sum()) for name, of_feature in sizes.items())
    return lost / max(1, total)


def truncated_examples(sizes: Mapping[str, np.ndarray], longest: Lengths) -> np.ndarray:
    """Returns <bool>[examples]: whether a value of an example is longer than what is read."""
    return np.any([of_feature > longest[name] for name, of_feature in sizes.items()], axis=0)


def beyond_training(sizes: Mapping[str, np.ndarray], info: DataInfo) -> np.ndarray:
    """Returns <bool>[examples]: whether more of a value of an example is read than any of training had."""
    read = {name: np.minimum(of_feature, info.lengths[-1][name]) for name, of_feature in sizes.items()}
    return truncated_examples(read, info.buckets[-1])
