"""The weight of each class in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnzoo.config import ResolvedConfig
from attnzoo.errors import UserError
from attnzoo.records.text_files import join_names, printable
from attnzoo.suggest import did_you_mean


def check_labels(resolved: ResolvedConfig, option: str | Mapping[str, float], labels: Sequence[str]) -> None:
    """Checks that `train.class_weights` names only labels that the data has.

    Raises:
        UserError: it names another label (exit code 2).
    """
    for label in option if isinstance(option, Mapping) else ():
        if label not in labels:
            origin = resolved.origins[("train", "class_weights", label)].label
            raise UserError(f"{origin}: train.class_weights: {unknown(label, labels)}.")


def unknown(label: str, labels: Sequence[str]) -> str:
    """Returns the message for a label that the data does not have."""
    return (
        f"the data has no label '{printable(label)}'{did_you_mean(label, labels)}; its labels are: "
        f"{join_names(labels)}"
    )


def class_weights(
    option: str | Mapping[str, float], labels: Sequence[str], targets: np.ndarray
) -> np.ndarray | None:
    """Returns the weight of each class in the loss <float32>[classes]; None if all have the same.

    Args:
        option: `train.class_weights`: "none"; "balanced" for n / (classes * examples of the class), so that
            all classes have the same total weight and the mean weight of an example is 1; or a mapping from
            label to weight, 1 for labels that are not in it.
        labels: names of the classes.
        targets: <int32>[n], classes of the training examples.

    Examples:
        >>> class_weights("balanced", ["ham", "spam"], np.array([0, 0, 0, 1]))
        array([0.6666667, 2.       ], dtype=float32)
        >>> class_weights({"spam": 5.0}, ["ham", "spam"], np.array([0, 0, 0, 1]))
        array([1., 5.], dtype=float32)

    Reference: "balanced": King and Zeng 2001, https://doi.org/10.1093/oxfordjournals.pan.a004868
    """
    if isinstance(option, Mapping):
        return np.array([option.get(label, 1.0) for label in labels], np.float32)
    if option == "none":
        return None
    counts = np.bincount(targets, minlength=len(labels))
    return (len(targets) / (len(labels) * np.maximum(counts, 1))).astype(np.float32)
