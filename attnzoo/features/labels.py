"""Multi-label classes: any number of labels per example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature
from attnzoo.features.label import (
    class_difference,
    imbalance,
    most_probable,
    name_problems,
    plain_label,
    read_label,
    require_known_labels,
)
from attnzoo.features.packing import take
from attnzoo.features.targets import Target
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import json_excerpt
from attnzoo.records.text_files import printable

with epy.lazy_imports():
    import tensorflow as tf

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
THRESHOLD = 0.5
"""Smallest probability at which a label is predicted, unless the options of a task give another."""


class LabelsOptions(DataOptions):
    """Options of data with several labels in a column."""

    label_separator: str = Field(
        ",",
        min_length=1,
        description="Separator between the labels of an example, for multi_label models; a jsonl file may "
        "have a list of labels instead. Empty parts are no labels.",
    )


class Labels(Target):
    """Multi-label classes: a column <float32>[examples, classes] of zeros and ones.

    Attributes:
        names: class names in the order of their numbers.
        thresholds: smallest probability at which each class is predicted; empty for 1/2. The options of a
            task set them; they are not learned from the data, and not saved with it.

    Examples:
        >>> labels = Labels(names=("art", "food", "sport"))
        >>> labels.names_of(np.array([0.9, 0.1, 0.5]))
        ['art', 'sport']
        >>> labels.with_thresholds({"food": 0.1, "sport": 0.8}).names_of(np.array([0.9, 0.1, 0.5]))
        ['art', 'food']
    """

    takes_columns: ClassVar[bool] = True
    Options: ClassVar[type[DataOptions]] = LabelsOptions

    kind: Literal["labels"] = "labels"
    names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = Field((), exclude=True)

    @property
    def num_outputs(self) -> int:
        """Number of model outputs: one logit per class."""
        return len(self.names)

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> tuple[str, ...]:
        """Returns the labels of a record, given as a list or as a text with separators."""
        separator = options.label_separator if isinstance(options, LabelsOptions) else ","
        return tuple(
            read_label(location, name, plain_label(part)) for part in _split_labels(value, separator)
        )

    def read_columns(self, location: str, values: Mapping[str, Any], options: DataOptions) -> tuple[str, ...]:
        """Returns the labels whose columns have a 1, and not a 0."""
        return tuple(name for name, value in values.items() if _read_flag(location, name, value))

    def declare(self, values: Sequence[tuple[str, ...]], origin: str, name: str) -> Labels:
        """Returns the feature with the sorted labels of train as classes."""
        if self.names:
            return self
        names = class_names.sort_names(label for labels in values for label in labels)
        if not names:
            raise UserError(f"{origin}: no example has a label in column {name!r}; check the column.")
        return self.model_copy(update={"names": names})

    def declare_columns(
        self, values: Sequence[tuple[str, ...]], origin: str, names: tuple[str, ...]
    ) -> Labels:
        """Returns the feature with the columns as classes, in their order."""
        if self.names:
            return self
        if not any(values):
            raise UserError(
                f"{origin}: no example has a 1 in the columns {', '.join(map(repr, names))}; check them."
            )
        return self.model_copy(update={"names": names})

    def require_known(self, location: str, value: tuple[str, ...]) -> None:
        """Rejects labels that train does not have."""
        if self.names:
            require_known_labels(location, value, self.names)

    def column(self, values: Sequence[tuple[str, ...]]) -> Column:
        """Returns one row of zeros and ones per example, <float32>[examples, classes]."""
        numbers = {name: number for number, name in enumerate(self.names)}
        column = np.zeros((len(values), len(self.names)), np.float32)
        for row, labels in enumerate(values):
            column[row, [numbers[label] for label in labels]] = 1.0
        return column

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the zeros and ones that `pack` has packed."""
        column = take(arrays, "values", np.float32, len(self.names))
        if not np.isin(column, (0.0, 1.0)).all():
            raise ValueError("values: expected zeros and ones")
        return column

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the sigmoid of the logits."""
        return tf.sigmoid(outputs)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Labels:
        """Returns the feature with a threshold for each label; 1/2 for those that are not named."""
        return self.model_copy(
            update={"thresholds": tuple(thresholds.get(name, THRESHOLD) for name in self.names)}
        )

    def is_predicted(self, values: np.ndarray) -> np.ndarray:
        """Returns whether labels with these values <float>[..., classes] are predicted, <bool>."""
        return np.asarray(values) >= np.asarray(self.thresholds or THRESHOLD)

    def names_of(self, values: np.ndarray) -> list[str]:
        """Returns the names of the labels whose value <float>[classes] is at least their threshold.

        Of true values, 0 and 1, these are the true labels.
        """
        return [name for name, given in zip(self.names, self.is_predicted(values), strict=True) if given]

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the labels with a probability of at least their threshold, and all probabilities."""
        by_label = dict(zip(self.names, map(float, values), strict=True))
        return {"labels": self.names_of(values), "probabilities": by_label}

    def prediction_texts(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the labels with a probability of at least their threshold."""
        rows = zip(self.names, values, self.is_predicted(values), strict=True)
        return [(name, f"{value:.4f}") for name, value, given in rows if given]

    def true_answer(self, value: Any) -> dict[str, Any]:
        """Returns the true labels."""
        return {"true_labels": None if value is None else self.names_of(value)}

    def format_value(self, value: Any) -> str:
        """Returns the true labels."""
        return ", ".join(self.names_of(value)) or "no label"

    def alternatives(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the three most probable other labels."""
        return most_probable(self.names, values, set(np.flatnonzero(self.is_predicted(values)).tolist()))

    def is_correct(self, values: np.ndarray, value: Any) -> bool:
        """Returns whether the predicted labels are exactly the true ones."""
        return bool(np.array_equal(self.is_predicted(values), np.asarray(value) >= THRESHOLD))

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns the number of examples of each label."""
        return {"labels": dict(zip(self.names, self._counts(encoded).tolist(), strict=True))}

    def difference(self, declared: Feature) -> str | None:
        """Returns that the classes differ."""
        names = declared.names if isinstance(declared, type(self)) else ()
        return None if names == self.names else class_difference(names, self.names)

    def summary(self, name: str) -> str:
        """Returns the number of classes."""
        return f"{len(self.names)} classes"

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line per split with the number of examples per class, if train or test is imbalanced."""
        return imbalance(self.names, {name: self._counts(column) for name, column in encoded.items()})

    def data_notes(self, encoded: Mapping[str, Column]) -> Iterator[str]:
        """Yields labels without examples, and labels that every example of train has."""
        yield from class_names.class_notes(
            self.names, {name: self._counts(column) for name, column in encoded.items()}
        )
        always = [
            name
            for name, fraction in zip(self.names, encoded["train"].mean(axis=0), strict=True)
            if fraction == 1
        ]
        if always:
            yield (f"every example of train has the label '{printable(always[0])}', which teaches nothing.")

    def strata(self, column: Column) -> np.ndarray:
        """Returns the number of the rarest label of each example, or the number of classes for none."""
        order = np.argsort(column.sum(axis=0), kind="stable")  # rarest first
        present = column[:, order] > 0
        return np.where(present.any(axis=1), order[present.argmax(axis=1)], column.shape[1])

    def _counts(self, column: Column) -> np.ndarray:
        return column.sum(axis=0, dtype=np.int64)

    def problems(self, name: str) -> Iterator[str]:
        """Yields an invalid number of classes, and thresholds, which are not part of the state."""
        yield from name_problems(name, self.names)
        if self.thresholds:
            yield f"{name}.thresholds: not expected here"


def _read_flag(location: str, name: str, value: Any) -> bool:
    """Returns whether an example has a label, of a column of 0 or 1.

    Raises:
        BadRecord: the value is neither.
    """
    flag = _FLAGS.get(value.strip().lower() if isinstance(value, str) else json_excerpt(value))
    if flag is None:
        got = f"'{printable(value)}'" if isinstance(value, str) else json_excerpt(value)
        raise BadRecord(location, "with neither 0 nor 1 for a label", f"{name!r} must be 0 or 1; got {got}.")
    return flag


def _split_labels(value: Any, separator: str) -> list[Any]:
    """Returns the labels of a text or list; an example without labels has an empty text or list."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else [value]
    return [part for part in value.split(separator) if part.strip()]
