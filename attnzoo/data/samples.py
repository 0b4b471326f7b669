"""Which examples of a split are shown. Files are often sorted: its first ones may be of one class."""

from __future__ import annotations

import numpy as np


def evenly_spaced(total: int, count: int) -> np.ndarray:
    """Returns the places <int64>[at most count] of examples spread over a split, ascending."""
    return np.arange(min(total, count)) * total // max(1, min(total, count))


def of_every_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns places of examples of as many classes as there can be, ascending.

    Every class has a first one before any has a second one. Of more classes than `count` those are taken
    that are spread over all of them.

    Args:
        labels: <int>[examples].
        count: most examples.

    Returns:
        <int64>[at most count].
    """
    classes, members = np.unique(labels, return_inverse=True)
    if len(classes) > count:
        chosen = evenly_spaced(len(classes), count)
        return np.sort([np.argmax(members == one) for one in chosen]).astype(np.int64)
    order = np.argsort(members, kind="stable")  # class by class
    sizes = np.bincount(members, minlength=len(classes))
    turns = np.empty(len(labels), np.int64)
    turns[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(np.lexsort((members, turns))[:count])
