"""One class out of several."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epy

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature, Target
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import require_string, require_text
from attnzoo.records.text_files import listed, shown
from attnzoo.text.kinds import MAX_VOCABULARY

with epy.lazy_imports():
    import tensorflow as tf

MAX_LABEL_CHARACTERS = 1000
"""Longest label: more is a column of another kind."""
IMBALANCED = 1.5
"""Examples of the largest class over those of the smallest above which the counts are shown."""
SHOWN_ENDS = 5


class Label(Target):
    """One class out of several: a column <int32>[examples] of their numbers.

    Attributes:
        names: class names in the order of their numbers.
    """

    kind: Literal["label"] = "label"
    names: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Numbers that a model gives for it: a logit for each class."""
        return len(self.names)

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the label of a record, without white space around it."""
        if isinstance(value, list):
            what = f"{name!r} is a list, where one label is expected; a multi_label model learns several."
            raise BadRecord(place, "with a value of another kind", what)
        return read_label(place, name, value)

    def declare(self, values: Sequence[str], origin: str, name: str) -> Label:
        """Takes the labels of train for the classes, in their order."""
        names = class_names.in_order(values)
        if len(names) < 2:
            raise UserError(
                f"{origin}: every example has the label '{shown(names[0])}'; a classifier needs at least "
                f"2 labels in column {name!r}."
            )
        return self.model_copy(update={"names": names})

    def require_known(self, place: str, value: str) -> None:
        """Refuses a label that train does not have."""
        require_known_labels(place, [value], self.names)

    def column(self, values: Sequence[str]) -> Column:
        """Returns the number of each label, <int32>[examples]."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[value] for value in values], np.int32)

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the probabilities of logits."""
        return tf.nn.softmax(outputs)

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the most probable label, and the probabilities of all."""
        best = int(values.argmax())
        by_label = dict(zip(self.names, map(float, values), strict=True))
        return {"label": self.names[best], "probability": float(values[best]), "probabilities": by_label}

    def said(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the most probable label and its probability."""
        best = int(values.argmax())
        return [(self.names[best], f"{values[best]:.4f}")]

    def truth(self, value: Any) -> dict[str, Any]:
        """Returns the true label."""
        return {"true_label": None if value is None else self.names[int(value)]}

    def shown(self, value: Any) -> str:
        """Returns the true label."""
        return self.names[int(value)]

    def others(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the three next labels."""
        return most_probable(self.names, values, {int(values.argmax())})

    def is_correct(self, values: np.ndarray, value: Any) -> bool:
        """Returns whether the most probable label is the true one."""
        return int(values.argmax()) == int(value)

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns how many examples each label has."""
        return {"labels": dict(zip(self.names, self._counts(encoded).tolist(), strict=True))}

    def difference(self, declared: Feature) -> str | None:
        """Returns that the classes are others."""
        names = declared.names if isinstance(declared, type(self)) else ()
        return None if names == self.names else other_classes(names, self.names)

    def phrase(self, name: str) -> str:
        """Returns the number of classes."""
        # Those of class ids begin at 0; stars and ratings do not.
        are_ratings = class_names.are_numbers(self.names) and self.names[0] != "0"
        kind = " (the numbers as names, without an order)" if are_ratings else ""
        return f"{len(self.names)} classes{kind}"

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line for each split with the examples of its classes, if train or test are imbalanced."""
        return imbalance(self.names, {name: self._counts(column) for name, column in encoded.items()})

    def doubts(self, encoded: Mapping[str, Column]) -> Iterator[str]:
        """Yields classes without an example, and names that look like no classes."""
        return class_names.doubts(
            self.names, {name: self._counts(column) for name, column in encoded.items()}
        )

    def strata(self, column: Column) -> np.ndarray:
        """Returns the classes."""
        return column

    def _counts(self, column: Column) -> np.ndarray:
        return np.bincount(column, minlength=len(self.names))

    def problems(self, name: str) -> Iterator[str]:
        """Yields a number of classes that no data has."""
        yield from name_problems(name, self.names)


def other_classes(names: Sequence[str], learned: Sequence[str]) -> str:
    """Returns that data has other classes than those that were learned."""
    return f"the data has other classes ({listed(names)}) than in training ({listed(learned)})"


def most_probable(names: Sequence[str], probabilities: np.ndarray, said: set[int]) -> list[tuple[str, str]]:
    """Returns the three most probable names whose numbers are not among those that were said."""
    order = [number for number in np.argsort(-probabilities, kind="stable") if number not in said]
    return [(names[number], f"{probabilities[number]:.4f}") for number in order[:3]]


def read_label(place: str, name: str, value: Any) -> str:
    """Returns a label of a record, in the normal form NFC.

    Raises:
        BadRecord: it is empty, too long, or neither text nor a whole number.
    """
    require_string(place, name, value, or_whole_number=True)
    label = unicodedata.normalize("NFC", str(value).strip())
    require_text(place, "label", label, MAX_LABEL_CHARACTERS)
    return label


def require_known_labels(place: str, labels: Sequence[str], names: Sequence[str]) -> None:
    """Refuses labels that are not among the names.

    Raises:
        BadRecord: naming the first.
    """
    for label in labels:
        if label not in names:
            raise BadRecord(
                place,
                "with a label that train does not have",
                f"label '{shown(label)}' does not occur in train{class_names.hint(label, names)}; the "
                f"labels of train are: {listed(names)}.",
            )


def name_problems(name: str, names: Sequence[str]) -> Iterator[str]:
    """Yields a number of classes that no data has."""
    if not 0 < len(names) <= MAX_VOCABULARY:
        yield f"{name}.names: {len(names)} of them"


def imbalance(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> list[str]:
    """Returns a line for each split with the examples of its classes, if train or test are imbalanced.

    Args:
        names: of the classes.
        counts: split -> examples of each class <int>[classes].
    """
    if all(
        counts[name].max() <= IMBALANCED * counts[name].min() for name in ("train", "test") if name in counts
    ):
        return []
    return [f"{name}: {_largest_first(names, of_split)}" for name, of_split in counts.items()]


def _largest_first(names: Sequence[str], counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")
    parts = [f"{shown(names[index])} {counts[index]:,}" for index in order]
    if len(parts) > 2 * SHOWN_ENDS:
        parts[SHOWN_ENDS:-SHOWN_ENDS] = ["..."]
    return ", ".join(parts)
