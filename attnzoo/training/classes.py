"""The classes of a training split: how many examples each has, and what they weigh in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnzoo.config import ResolvedConfig
from attnzoo.data.text_files import listed, nearest, shown
from attnzoo.errors import UserError

IMBALANCED = 1.5
"""Examples of the largest class over those of the smallest above which the counts are shown."""
SHOWN_ENDS = 5


def require_known(resolved: ResolvedConfig, labels: Sequence[str]) -> None:
    """Refuses weights of labels that the data does not have.

    Raises:
        UserError: naming the first (exit code 2).
    """
    option = resolved.config.train.class_weights
    for label in option if isinstance(option, Mapping) else ():
        if label not in labels:
            origin = resolved.origins[("train", "class_weights", label)].label
            raise UserError(
                f"{origin}: train.class_weights: the data has no label '{shown(label)}'"
                f"{nearest(label, labels)}; its labels are: {listed(labels)}."
            )


def weights(
    option: str | Mapping[str, float], labels: Sequence[str], targets: np.ndarray
) -> np.ndarray | None:
    """Returns the weight of each class in the loss <float32>[classes]; None where all weigh the same.

    Args:
        option: `train.class_weights`: "none"; "balanced" for n / (classes * examples of the class): each
            class as a whole weighs the same, an example 1 on average; or weights by label, 1 for others.
        labels: names of the classes.
        targets: <int32>[n], classes of the training examples.

    Reference: "balanced": King and Zeng 2001, https://doi.org/10.1093/oxfordjournals.pan.a004868
    """
    if isinstance(option, Mapping):
        return np.array([option.get(label, 1.0) for label in labels], np.float32)
    if option == "none":
        return None
    counts = np.bincount(targets, minlength=len(labels))
    return (len(targets) / (len(labels) * np.maximum(counts, 1))).astype(np.float32)


def imbalance(labels: Sequence[str], targets: Mapping[str, np.ndarray]) -> list[str]:
    """Returns a line for each split with the examples of its classes, if train or test are imbalanced.

    Args:
        labels: names of the classes; none for other tasks.
        targets: split -> classes <int32>[examples], or which of them <float32>[examples, classes].
    """
    if not labels:
        return []
    counts = {
        name: values.sum(axis=0, dtype=np.int64)
        if values.ndim == 2
        else np.bincount(values, minlength=len(labels))
        for name, values in targets.items()
    }
    if all(
        counts[name].max() <= IMBALANCED * counts[name].min() for name in ("train", "test") if name in counts
    ):
        return []
    return [f"{name}: {_largest_first(labels, of_split)}" for name, of_split in counts.items()]


def _largest_first(labels: Sequence[str], counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")
    parts = [f"{shown(labels[index])} {counts[index]:,}" for index in order]
    if len(parts) > 2 * SHOWN_ENDS:
        parts[SHOWN_ENDS:-SHOWN_ENDS] = ["..."]
    return ", ".join(parts)
