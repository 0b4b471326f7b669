"""What examples of each class weigh in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnzoo.config import ResolvedConfig
from attnzoo.errors import UserError
from attnzoo.records.text_files import listed, shown
from attnzoo.suggest import did_you_mean


def require_known(resolved: ResolvedConfig, option: str | Mapping[str, float], labels: Sequence[str]) -> None:
    """Refuses weights of labels that the data does not have.

    Raises:
        UserError: naming the first (exit code 2).
    """
    for label in option if isinstance(option, Mapping) else ():
        if label not in labels:
            origin = resolved.origins[("train", "class_weights", label)].label
            raise UserError(f"{origin}: train.class_weights: {unknown(label, labels)}.")


def unknown(label: str, labels: Sequence[str]) -> str:
    """Returns what is said of a label that the data does not have."""
    return (
        f"the data has no label '{shown(label)}'{did_you_mean(label, labels)}; its labels are: "
        f"{listed(labels)}"
    )


def class_weights(
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
