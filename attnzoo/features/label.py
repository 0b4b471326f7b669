"""A class label: one class per example."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epy

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature
from attnzoo.features.packing import take
from attnzoo.features.targets import Target
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import require_string, require_text
from attnzoo.records.text_files import join_names, printable
from attnzoo.text.kinds import MAX_VOCABULARY

with epy.lazy_imports():
    import tensorflow as tf

MAX_LABEL_CHARACTERS = 1000
"""Longest label; a longer one is probably not a label."""
IMBALANCED = 1.5
"""Ratio of the largest class to the smallest above which the counts are printed."""
SHOWN_ENDS = 5
"""Number of the largest and of the smallest classes that are printed."""


class Label(Target):
    """A class label: a column <int32>[examples] of class numbers.

    Attributes:
        names: class names in the order of their numbers.

    Examples:
        >>> label = Label(names=("cat", "dog"))
        >>> label.prediction_texts(np.array([0.25, 0.75]))
        [('dog', '0.7500')]
    """

    kind: Literal["label"] = "label"
    names: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Number of model outputs: one logit per class."""
        return len(self.names)

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the label of a record without surrounding white space."""
        if isinstance(value, list):
            message = f"{name!r} is a list, expected one label; use a multi_label model for several."
            raise BadRecord(location, "with a value of the wrong type", message)
        return read_label(location, name, plain_label(value))

    def declare(self, values: Sequence[str], origin: str, name: str) -> Label:
        """Returns the feature with the sorted labels of train as classes."""
        if self.names:
            return self
        names = class_names.sort_names(values)
        if len(names) < 2:
            raise UserError(
                f"{origin}: every example has the label '{printable(names[0])}'; a classifier needs at least "
                f"2 labels in column {name!r}."
            )
        return self.model_copy(update={"names": names})

    def require_known(self, location: str, value: str) -> None:
        """Rejects a label that train does not have."""
        if self.names:
            require_known_labels(location, [value], self.names)

    def column(self, values: Sequence[str]) -> Column:
        """Returns the class number of each label, <int32>[examples]."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[value] for value in values], np.int32)

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the class numbers that `pack` has packed."""
        column = take(arrays, "values", np.int32)
        require_classes(column, self.names)
        return column

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the softmax of the logits."""
        return tf.nn.softmax(outputs)

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the most probable label and the probabilities of all labels."""
        best = int(values.argmax())
        by_label = dict(zip(self.names, map(float, values), strict=True))
        return {"label": self.names[best], "probability": float(values[best]), "probabilities": by_label}

    def prediction_texts(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the most probable label and its probability."""
        best = int(values.argmax())
        return [(self.names[best], f"{values[best]:.4f}")]

    def true_answer(self, value: Any) -> dict[str, Any]:
        """Returns the true label."""
        return {"true_label": None if value is None else self.names[int(value)]}

    def format_value(self, value: Any) -> str:
        """Returns the true label."""
        return self.names[int(value)]

    def alternatives(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the three most probable other labels."""
        return most_probable(self.names, values, {int(values.argmax())})

    def is_correct(self, values: np.ndarray, value: Any) -> bool:
        """Returns whether the most probable label is the true one."""
        return int(values.argmax()) == int(value)

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns the number of examples of each label."""
        return {"labels": dict(zip(self.names, self._counts(encoded).tolist(), strict=True))}

    def difference(self, declared: Feature) -> str | None:
        """Returns that the classes differ."""
        names = declared.names if isinstance(declared, type(self)) else ()
        return None if names == self.names else class_difference(names, self.names)

    def summary(self, name: str) -> str:
        """Returns the number of classes."""
        # Class ids start at 0, while stars and ratings do not.
        are_ratings = class_names.are_numbers(self.names) and self.names[0] != "0"
        kind = " (numbers, as unordered classes)" if are_ratings else ""
        return f"{len(self.names)} classes{kind}"

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line per split with the number of examples per class, if train or test is imbalanced."""
        return imbalance(self.names, {name: self._counts(column) for name, column in encoded.items()})

    def data_notes(self, encoded: Mapping[str, Column]) -> Iterator[str]:
        """Yields classes without examples, and names that do not look like classes."""
        return class_names.class_notes(
            self.names, {name: self._counts(column) for name, column in encoded.items()}
        )

    def strata(self, column: Column) -> np.ndarray:
        """Returns the classes."""
        return column

    def _counts(self, column: Column) -> np.ndarray:
        return np.bincount(column, minlength=len(self.names))

    def problems(self, name: str) -> Iterator[str]:
        """Yields an invalid number of classes."""
        yield from name_problems(name, self.names)


def class_difference(names: Sequence[str], learned: Sequence[str]) -> str:
    """Returns a message that data has other classes than were learned."""
    return f"the data has other classes ({join_names(names)}) than in training ({join_names(learned)})"


def most_probable(
    names: Sequence[str], probabilities: np.ndarray, excluded: set[int]
) -> list[tuple[str, str]]:
    """Returns the three most probable classes that are not excluded, with their probabilities."""
    order = [number for number in np.argsort(-probabilities, kind="stable") if number not in excluded]
    return [(names[number], f"{probabilities[number]:.4f}") for number in order[:3]]


def read_label(location: str, name: str, value: Any) -> str:
    """Returns the label of a record in Unicode normal form NFC.

    Raises:
        BadRecord: the label is empty, too long, or neither a string nor a whole number.
    """
    require_string(location, name, value, or_whole_number=True)
    label = unicodedata.normalize("NFC", str(value).strip())
    require_text(location, "label", label, MAX_LABEL_CHARACTERS)
    return label


def plain_label(value: Any) -> Any:
    """Returns true and false of JSON as texts, and 3.0 as 3: tools that fill gaps write whole numbers so.

    Examples:
        >>> plain_label(True), plain_label(3.0), plain_label("3.0")
        ('true', 3, '3.0')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return int(value) if isinstance(value, float) and value.is_integer() else value


def require_known_labels(
    location: str, labels: Sequence[str], names: Sequence[str], advice: str = ""
) -> None:
    """Rejects labels that are not among the class names.

    Args:
        location: file and record, for messages.
        labels: labels of the record.
        names: class names.
        advice: what to do about an unknown one.

    Raises:
        BadRecord: naming the first unknown label.
    """
    for label in labels:
        if label not in names:
            hint = class_names.spelling_hint(label, names)
            raise BadRecord(
                location,
                "with a label that train does not have",
                f"label '{printable(label)}' does not occur in train{hint}; the labels of train are: "
                f"{join_names(names)}{advice}.",
            )


def require_classes(numbers: np.ndarray, names: Sequence[str]) -> None:
    """Rejects numbers that are none of a class.

    Raises:
        ValueError: naming the range.
    """
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) >= len(names):
        raise ValueError(f"class numbers {numbers.min()} to {numbers.max()}, expected 0 to {len(names) - 1}")


def name_problems(name: str, names: Sequence[str]) -> Iterator[str]:
    """Yields an invalid number of classes."""
    if not 0 < len(names) <= MAX_VOCABULARY:
        yield f"{name}.names: invalid number of classes ({len(names)})"


def imbalance(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> list[str]:
    """Returns a line per split with the number of examples per class, if train or test is imbalanced.

    Args:
        names: class names.
        counts: split -> number of examples of each class, <int>[classes].
    """
    if all(
        counts[name].max() <= IMBALANCED * counts[name].min() for name in ("train", "test") if name in counts
    ):
        return []
    return [f"{name}: {_largest_first(names, split_counts)}" for name, split_counts in counts.items()]


def _largest_first(names: Sequence[str], counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")
    parts = [f"{printable(names[index])} {counts[index]:,}" for index in order]
    if len(parts) > 2 * SHOWN_ENDS:
        parts[SHOWN_ENDS:-SHOWN_ENDS] = ["..."]
    return ", ".join(parts)
