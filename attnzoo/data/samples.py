"""Choosing representative examples: files are often sorted, so the first ones may all be of one class."""

from __future__ import annotations

import numpy as np


def evenly_spaced(total: int, count: int) -> np.ndarray:
    """Returns up to `count` evenly spaced indices <int64>[count], ascending.

    Examples:
        >>> evenly_spaced(10, 4).tolist()
        [0, 2, 5, 7]
    """
    return np.arange(min(total, count)) * total // max(1, min(total, count))


def sample_every_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns indices of examples of as many classes as possible, ascending.

    Every class gets a first example before any gets a second. If there are more classes than `count`, evenly
    spaced classes are chosen.

    Args:
        labels: <int>[examples].
        count: largest number of examples.

    Returns:
        <int64>[count or fewer].

    Examples:
        >>> sample_every_class(np.array([0, 0, 0, 1, 1, 2]), count=4).tolist()
        [0, 1, 3, 5]
    """
    classes, members = np.unique(labels, return_inverse=True)
    if len(classes) > count:
        chosen = evenly_spaced(len(classes), count)
        return np.sort([np.argmax(members == one) for one in chosen]).astype(np.int64)
    order = np.argsort(members, kind="stable")  # grouped by class
    sizes = np.bincount(members, minlength=len(classes))
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(np.lexsort((members, ranks))[:count])
