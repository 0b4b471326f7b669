"""What a feature is: one kind of column, from raw values to what a model takes. Imports no TensorFlow."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from etils import epy

from attnzoo.config.base import Section
from attnzoo.config.sections import DataOptions
from attnzoo.records.bad_records import BadRecord

with epy.lazy_imports():
    import tensorflow as tf

Column: TypeAlias = np.ndarray
"""The raw values of a feature in a split: <object>[examples] of texts, paths or bytes, or numbers."""
Redraw: TypeAlias = Callable[[np.random.Generator, int], Any]
"""From a generator and the most tokens to encoded values that differ from epoch to epoch."""


class RawReader(NamedTuple):
    """From raw input to what a model takes.

    Attributes:
        resources: tables and the like, which a SavedModel has to keep.
        read: graph function from raw values <string>[batch], as `Feature.raw` gives them, to a batch.
    """

    resources: list[Any]
    read: Callable[[tf.Tensor], tf.Tensor]


class Feature(Section):
    """One kind of column. An instance holds what was learned of it; `info.json` keeps it.

    A subclass is one file of this folder, named after its class, with `kind: Literal["that name"]`, and with
    a default for each of its fields: an instance without any is a feature of which nothing is known yet.

    Attributes:
        is_content: whether examples with equal values are the same example (inputs), or say something of one.
        is_optional: whether a split may lack it.
        in_batches: whether batches have it.
        has_lengths: whether its values have lengths, so that batches pad them.
        moves_with_images: whether random changes of images change it too, so that it goes through them.
        starts_from_others: whether `train.init_from` brings what another run has learned of it.
        compiles_well: whether XLA is fast at what models make of it on a CPU.
    """

    is_content: ClassVar[bool] = False
    is_optional: ClassVar[bool] = False
    in_batches: ClassVar[bool] = True
    has_lengths: ClassVar[bool] = False
    moves_with_images: ClassVar[bool] = False
    starts_from_others: ClassVar[bool] = False
    compiles_well: ClassVar[bool] = True

    kind: str

    # Values of records

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> Any:
        """Returns the value of a record as this feature takes it.

        Args:
            place: file and line, for messages.
            name: of the column or key.
            value: text of a table, or any JSON value.
            options: of the data set.

        Raises:
            BadRecord: it cannot be used.
        """
        raise BadRecord(
            place, "of a kind that records do not have", f"{name!r}: {self.kind} is not read here."
        )

    def declare(self, values: Sequence[Any], origin: str, name: str) -> Feature:
        """Returns the feature with what the values of train say of it before anything is learned.

        Args:
            values: what `read` gave, one or more.
            origin: where they are from, for messages.
            name: of the column.

        Raises:
            UserError: there is nothing to learn from such values.
        """
        return self

    def require_known(self, place: str, value: Any) -> None:
        """Refuses a value of validation or test that train says nothing of.

        Raises:
            BadRecord: saying what train has.
        """

    def column(self, values: Sequence[Any]) -> Column:
        """Returns the column of values that `read` gave."""
        raise NotImplementedError(f"{self.kind} makes no column of records")

    def unreadable(self, values: Sequence[Any]) -> dict[int, BadRecord]:
        """Returns what is wrong with values that `read` gave, by index, where only a long look tells.

        It is asked where bad records are passed over; elsewhere `check` finds the first of them.
        """
        return {}

    def check_raw(self, place: str, value: str, folder: Path | None) -> None:
        """Refuses raw input that no model can answer.

        Args:
            place: file and line, for messages.
            value: a text, or what names a file.
            folder: where such a file may be, besides the working directory.

        Raises:
            BadRecord: saying what is wrong with it.
        """

    # Learning and encoding

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        """Yields keys of section `data` that do not go together, and what is wrong with each."""
        yield from ()

    def learning_values(self, options: DataOptions) -> dict[str, Any]:
        """Returns the keys of section `data` that decide what is learned, with what they come to."""
        return {}

    def learned_with(
        self, name: str, features: Mapping[str, Feature], options: DataOptions
    ) -> tuple[str, ...]:
        """Returns the columns that are learned from as one, `name` among them, in the order of `features`."""
        return (name,)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Feature:
        """Returns the feature with what the columns of train tell.

        Args:
            columns: of train, those of `learned_with`.
            options: of the data set.
            initial: what the run of `train.init_from` has learned; None without one.
            origin: where train is from, for messages.

        Raises:
            UserError: there is nothing to learn from.
        """
        return self

    def check(self, column: Column, options: DataOptions, origin: str) -> None:
        """Looks whether the values of a split other than train can be used, with what was learned.

        Raises:
            UserError: naming the first that cannot.
        """

    def encode(self, column: Column) -> Any:
        """Returns the values in the form that batches are made of."""
        return column

    def lengths(self, encoded: Any) -> np.ndarray:
        """Returns the length of each value, <int64>[examples]; of features that have lengths."""
        raise NotImplementedError(f"{self.kind} has no lengths")

    def redraw(self, column: Column, options: DataOptions) -> Redraw | None:
        """Returns what encodes the values of train anew for every epoch; None where they stay."""
        return None

    # Batches

    @property
    def host_spec(self) -> tf.TensorSpec:
        """What `host_batch` gives."""
        return tf.TensorSpec([None], tf.int32)

    def host_batch(self, encoded: Any, indices: np.ndarray, length: int | None) -> np.ndarray:
        """Returns what NumPy has to do for a batch; `graph_batch` does the rest.

        Args:
            encoded: what `encode` gave, of the whole split.
            indices: <int32>[batch], of the examples.
            length: that values are padded to; None for features without.
        """
        return indices

    def graph_batch(self, encoded: Any) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a graph function from what `host_batch` gives to the values of a batch, as they are."""
        values = tf.constant(encoded)
        return lambda indices: tf.gather(values, indices)

    def change(
        self, tensors: Mapping[str, tf.Tensor], options: DataOptions, seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Changes training examples at random, each by its own seed.

        Args:
            tensors: those features of the batch that move with images, by name, this one among them.
            options: of the data set.
            seeds: <int32>[batch, 2].
        """
        return dict(tensors)

    def prepare(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the values of a batch as models take them."""
        return values

    def damaged(self, encoded: Any, origin: str) -> BadRecord | None:
        """Returns what has become unreadable since the start, where a batch could not be made; else None."""
        return None

    # Raw input

    def raw(self, column: Column) -> list[bytes]:
        """Returns values as an export takes them: texts in UTF-8, the bytes of image files."""
        raise NotImplementedError(f"{self.kind} is no input of an export")

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns what makes of raw input what a model takes.

        Args:
            length: most tokens; None for features without lengths.
        """
        raise NotImplementedError(f"{self.kind} is no input of an export")

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the graph of `raw_reader` has operations of TensorFlow Text."""
        return False

    # What is said of it

    def difference(self, declared: Feature) -> str | None:
        """Returns how what data says of it today differs from what was learned; None where it does not."""
        return None

    def describe(self, name: str, column: Column, encoded: Any) -> dict[str, Any]:
        """Returns what `data inspect` says of a split, as JSON: topic -> content."""
        return {}

    def phrase(self, name: str) -> str:
        """Returns what was learned in some words; empty for nothing."""
        return ""

    def balance(self, encoded: Mapping[str, Any]) -> list[str]:
        """Returns lines on how uneven the values of splits are, by the split's name; none if they are not."""
        return []

    def doubts(self, encoded: Mapping[str, Any]) -> Iterator[str]:
        """Yields what in the values of splits, by the split's name, was surely not meant, a line each."""
        yield from ()

    def strata(self, column: Column) -> np.ndarray | None:
        """Returns a number <int>[examples] for each value: a part that is held out has its fraction of all.

        None where values have no groups.
        """
        return None

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns for each column what tells its values apart, comparable across the columns."""
        return [[digest(np.ascontiguousarray(value).tobytes()) for value in column] for column in columns]

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields the bytes that say whether data has changed."""
        if column.dtype != object:
            yield np.ascontiguousarray(column).tobytes()
            return
        for value in column:
            data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            yield len(data).to_bytes(8, "little") + data

    def is_like(self, declared: Feature) -> bool:
        """Whether what a task declares can have become this by learning."""
        return type(self) is type(declared)

    def problems(self, name: str) -> Iterator[str]:
        """Yields what in this state cannot have been learned: it may come from a file that anybody wrote."""
        yield from ()


class Target(Feature):
    """A feature that models give; what they give are its outputs, and its values what is made of these."""

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """Numbers that a model gives for it."""

    @abc.abstractmethod
    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns values <float>[batch, num_outputs] of outputs of this shape, in their type."""

    @abc.abstractmethod
    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns what a model says with its values <float>[num_outputs], as JSON."""

    @abc.abstractmethod
    def said(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns what a model says with its values, for people: each answer and how sure it is."""

    @abc.abstractmethod
    def truth(self, value: Any) -> dict[str, Any]:
        """Returns the true value of an example, one of a column, as JSON; of None that it is not known."""

    @abc.abstractmethod
    def shown(self, value: Any) -> str:
        """Returns the true value of an example, for people."""

    def others(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns what a model might have said with its values as well, the most_probable first."""
        return []

    def is_correct(self, values: np.ndarray, value: Any) -> bool | None:
        """Returns whether a model says the true value; None where that is no question of yes or no."""
        return None


def digest(data: bytes) -> bytes:
    """Returns 16 bytes that stand for more."""
    return hashlib.blake2b(data, digest_size=16).digest()
