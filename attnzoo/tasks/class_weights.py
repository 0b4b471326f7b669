"""The weight of each class in the loss, and options that name classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from attnzoo.config import ResolvedConfig
from attnzoo.config.source import KeyPath
from attnzoo.errors import UserError
from attnzoo.records.text_files import join_names, printable
from attnzoo.suggest import did_you_mean


def unknown_labels(path: KeyPath, option: Any, labels: Sequence[str]) -> Iterator[tuple[KeyPath, str]]:
    """Yields the path and the message of each label that an option by label names and the data lacks.

    Args:
        path: of the option.
        option: its value; what is no mapping names no label.
        labels: those of the data.
    """
    for label in option if isinstance(option, Mapping) else ():
        if label not in labels:
            yield (*path, label), unknown(label, labels)


def check_labels(resolved: ResolvedConfig, path: KeyPath, option: Any, labels: Sequence[str]) -> None:
    """Checks that an option by label names only labels that the data has; arguments as `unknown_labels`.

    Raises:
        UserError: it names another label (exit code 2).
    """
    for place, what in unknown_labels(path, option, labels):
        raise UserError(f"{resolved.origins[place].label}: {'.'.join(map(str, path))}: {what}.")


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


def positive_weights(
    option: str | Mapping[str, float], labels: Sequence[str], targets: np.ndarray
) -> np.ndarray | None:
    """Returns the weight of the examples that have each label <float32>[classes]; None if all are 1.

    Args:
        option: `train.class_weights`: "none"; "balanced" for examples without the label / examples with it,
            so that both have the same total weight; or a mapping from label to weight, 1 for others.
        labels: names of the labels.
        targets: <float32>[n, classes], 1 where a training example has the label, else 0.

    Examples:
        >>> positive_weights("balanced", ["a", "b"], np.array([[1, 0], [1, 1], [0, 0], [0, 0]]))
        array([1., 3.], dtype=float32)
    """
    if option == "balanced":
        counts = np.maximum(np.count_nonzero(targets, axis=0), 1)
        return np.maximum((len(targets) - counts) / counts, 1.0 / len(targets)).astype(np.float32)
    return class_weights(option, labels, targets)
