"""Any number of classes, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature, Target
from attnzoo.features.label import (
    imbalance,
    most_probable,
    name_problems,
    other_classes,
    read_label,
    require_known_labels,
)
from attnzoo.records import class_names
from attnzoo.records.text_files import shown

with epy.lazy_imports():
    import tensorflow as tf

THRESHOLD = 0.5
"""Probability from which on an example has a label."""


class LabelsOptions(DataOptions):
    """Options of data with several labels in one column."""

    label_separator: str = Field(
        ",",
        min_length=1,
        description="Separator between the labels of a text, for models that give several; in jsonl the "
        "labels may also be a list.",
    )


class Labels(Target):
    """Any number of classes: a column <float32>[examples, classes] of 0 and 1.

    Attributes:
        names: class names in the order of their numbers.
    """

    kind: Literal["labels"] = "labels"
    names: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Numbers that a model gives for it: a logit for each class."""
        return len(self.names)

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> tuple[str, ...]:
        """Returns the labels of a record, which holds a list or, with separators, a text of them."""
        separator = options.label_separator if isinstance(options, LabelsOptions) else ","
        return tuple(read_label(place, name, part) for part in _split_labels(value, separator))

    def declare(self, values: Sequence[tuple[str, ...]], origin: str, name: str) -> Labels:
        """Takes the labels of train for the classes, in their order."""
        names = class_names.in_order(label for labels in values for label in labels)
        if not names:
            raise UserError(f"{origin}: not one text has a label in column {name!r}.")
        return self.model_copy(update={"names": names})

    def require_known(self, place: str, value: tuple[str, ...]) -> None:
        """Refuses labels that train does not have."""
        require_known_labels(place, value, self.names)

    def column(self, values: Sequence[tuple[str, ...]]) -> Column:
        """Returns which labels each example has, <float32>[examples, classes]."""
        numbers = {name: number for number, name in enumerate(self.names)}
        column = np.zeros((len(values), len(self.names)), np.float32)
        for row, labels in enumerate(values):
            column[row, [numbers[label] for label in labels]] = 1.0
        return column

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the probabilities of logits, each by itself."""
        return tf.sigmoid(outputs)

    def names_of(self, values: np.ndarray) -> list[str]:
        """Returns the labels of an example, by what it has or by probabilities, <float>[classes]."""
        return [
            name for name, value in zip(self.names, np.asarray(values), strict=True) if value >= THRESHOLD
        ]

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the labels with a probability of 1/2 or more, and the probabilities of all."""
        by_label = dict(zip(self.names, map(float, values), strict=True))
        return {"labels": self.names_of(values), "probabilities": by_label}

    def said(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the labels with a probability of 1/2 or more."""
        pairs = zip(self.names, values, strict=True)
        return [(name, f"{value:.4f}") for name, value in pairs if value >= THRESHOLD]

    def truth(self, value: Any) -> dict[str, Any]:
        """Returns the true labels."""
        return {"true_labels": None if value is None else self.names_of(value)}

    def shown(self, value: Any) -> str:
        """Returns the true labels."""
        return ", ".join(self.names_of(value)) or "no label"

    def others(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the three next labels."""
        return most_probable(self.names, values, set(np.flatnonzero(values >= THRESHOLD).tolist()))

    def is_correct(self, values: np.ndarray, value: Any) -> bool:
        """Returns whether the labels are all those of the example."""
        return bool(np.array_equal(values >= THRESHOLD, np.asarray(value) >= THRESHOLD))

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns how many examples each label has."""
        return {"labels": dict(zip(self.names, self._counts(encoded).tolist(), strict=True))}

    def difference(self, declared: Feature) -> str | None:
        """Returns that the classes are others."""
        names = declared.names if isinstance(declared, type(self)) else ()
        return None if names == self.names else other_classes(names, self.names)

    def phrase(self, name: str) -> str:
        """Returns the number of classes."""
        return f"{len(self.names)} classes"

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line for each split with the examples of its classes, if train or test are imbalanced."""
        return imbalance(self.names, {name: self._counts(column) for name, column in encoded.items()})

    def doubts(self, encoded: Mapping[str, Column]) -> Iterator[str]:
        """Yields labels without an example, or that every text of train has."""
        yield from class_names.doubts(
            self.names, {name: self._counts(column) for name, column in encoded.items()}
        )
        always = [
            name for name, share in zip(self.names, encoded["train"].mean(axis=0), strict=True) if share == 1
        ]
        if always:
            yield f"every text of train has the label '{shown(always[0])}', so that it says nothing."

    def strata(self, column: Column) -> np.ndarray:
        """Returns the rarest label of each example, or the number of labels for one without."""
        order = np.argsort(column.sum(axis=0), kind="stable")  # rarest first
        having = column[:, order] > 0
        return np.where(having.any(axis=1), order[having.argmax(axis=1)], column.shape[1])

    def _counts(self, column: Column) -> np.ndarray:
        return column.sum(axis=0, dtype=np.int64)

    def problems(self, name: str) -> Iterator[str]:
        """Yields a number of classes that no data has."""
        yield from name_problems(name, self.names)


def _split_labels(value: Any, separator: str) -> list[Any]:
    """Returns the labels of a column or list; an example without one has an empty column or list."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else [value]
    return value.split(separator) if value.strip() else []
