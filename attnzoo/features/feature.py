"""The interface of features: one kind of column, from raw values to model inputs. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from etils import epy

from attnzoo.config.base import Problem, Section
from attnzoo.config.sections import DataOptions
from attnzoo.features.packing import pack_bytes, unpack_bytes
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import object_array

with epy.lazy_imports():
    import tensorflow as tf

Column: TypeAlias = np.ndarray
"""Raw values of a feature in a split: <object>[examples] of texts, paths or bytes, or an array of numbers."""
Resampler: TypeAlias = Callable[[np.random.Generator, int], Any]
"""(random generator, largest number of tokens) -> encoded values, which differ from epoch to epoch."""


class RawReader(NamedTuple):
    """Conversion of raw inputs to values of a batch inside a graph.

    Attributes:
        resources: objects that a SavedModel must track, such as lookup tables.
        read: graph function from raw values <string>[batch], as returned by `Feature.raw`, to what batches
            have, see `Feature.prepare`.
    """

    resources: list[Any]
    read: Callable[[tf.Tensor], tf.Tensor]


class Feature(Section):
    """One kind of column. An instance holds what was learned from data and is saved in `info.json`.

    A subclass has its own file in this folder, named after the class, with `kind: Literal["that name"]` and a
    default for each field: an instance with the defaults is a feature before learning.

    Attributes:
        is_content: whether it identifies an example (an input), as opposed to describing it (a label).
        is_optional: whether a split may lack it.
        in_batches: whether it is part of batches.
        has_lengths: whether its values are sequences of different lengths, which batches pad.
        is_augmented: whether image augmentation applies to it.
        is_transferable: whether `train.init_from` reuses what another run has learned, such as a vocabulary.
        compiles_well: whether XLA on a CPU is fast at models that take it as input.
        takes_columns: whether a record may have a column for each of its classes.
        is_weight: whether its values are weights of the examples in the training loss.
        noun: what one of its raw inputs is called in messages.
        Options: options of section `data` that concern it; they have no effect on data without it.
        kind: name of the feature, which is the name of its module.
    """

    is_content: ClassVar[bool] = False
    is_optional: ClassVar[bool] = False
    in_batches: ClassVar[bool] = True
    has_lengths: ClassVar[bool] = False
    is_augmented: ClassVar[bool] = False
    is_transferable: ClassVar[bool] = False
    compiles_well: ClassVar[bool] = True
    takes_columns: ClassVar[bool] = False
    is_weight: ClassVar[bool] = False
    noun: ClassVar[str] = "text"

    Options: ClassVar[type[DataOptions]] = DataOptions

    kind: str

    # Reading records

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> Any:
        """Parses the value of a record.

        Args:
            location: file and line, for messages.
            name: name of the column or key.
            value: text from a table, or any JSON value.
            options: options of the data set.

        Raises:
            BadRecord: the value cannot be used.
        """
        raise BadRecord(
            location, "of an unsupported kind", f"{name!r}: {self.kind} cannot be read from records."
        )

    def read_columns(self, location: str, values: Mapping[str, Any], options: DataOptions) -> Any:
        """Parses the values of the columns of a record, one for each class; only with `takes_columns`.

        Args:
            location: file and line, for messages.
            values: name of the column or key -> value, as for `read`.
            options: options of the data set.

        Raises:
            BadRecord: a value cannot be used.
        """
        raise NotImplementedError(f"{self.kind} has one column")

    def declare(self, values: Sequence[Any], origin: str, name: str) -> Feature:
        """Returns the feature with properties from the values of train, such as class names, before learning.

        One that has learned them before stays as it is.

        Args:
            values: values returned by `read`, at least one.
            origin: file that they come from, for messages.
            name: name of the column.

        Raises:
            UserError: there is nothing to learn from these values.
        """
        return self

    def declare_columns(self, values: Sequence[Any], origin: str, names: tuple[str, ...]) -> Feature:
        """Returns what `declare` does for values returned by `read_columns`."""
        raise NotImplementedError(f"{self.kind} has one column")

    def require_known(self, location: str, value: Any) -> None:
        """Rejects a value that is unknown from train, such as a new label, if train is known.

        Raises:
            BadRecord: naming the known values.
        """

    def column(self, values: Sequence[Any]) -> Column:
        """Returns the column of values that were returned by `read`."""
        raise NotImplementedError(f"{self.kind} cannot be read from records")

    def unreadable(self, values: Sequence[Any]) -> dict[int, BadRecord]:
        """Returns index -> problem for values returned by `read` that only a slow check finds unusable.

        It is called with `on_bad_record: skip`; otherwise `check` raises the first problem.
        """
        return {}

    def check_raw(self, location: str, value: str, folder: Path | None) -> None:
        """Rejects a raw input that cannot be predicted on.

        Args:
            location: file and line, for messages.
            value: a text, or the path of a file.
            folder: folder to search for such a file, besides the working directory.

        Raises:
            BadRecord: the input cannot be used.
        """

    # Learning and encoding

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        """Yields (key, problem) for keys of section `data` that do not fit together."""
        yield from ()

    def machine_problems(self, options: DataOptions) -> Iterator[Problem]:
        """Yields keys of section `data` that need packages which are not installed."""
        yield from ()

    def learning_options(self, options: DataOptions) -> dict[str, Any]:
        """Returns the keys of section `data` that determine what is learned, with their resolved values."""
        return {}

    def learned_with(
        self, name: str, features: Mapping[str, Feature], options: DataOptions
    ) -> tuple[str, ...]:
        """Returns the columns that share what is learned, including `name`, in the order of `features`."""
        return (name,)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Feature:
        """Returns the feature fitted to columns of train.

        Args:
            columns: the columns of train given by `learned_with`.
            options: options of the data set.
            initial: learned feature of the run in `train.init_from`, or None.
            origin: file or folder of train, for messages.

        Raises:
            UserError: there is nothing to learn from.
        """
        return self

    def check(self, column: Column, options: DataOptions, origin: str) -> None:
        """Checks that the values of a split other than train can be used.

        Raises:
            UserError: naming the first value that cannot.
        """

    def encode(self, column: Column) -> Any:
        """Returns the encoded values, from which batches are made."""
        return column

    def lengths(self, encoded: Any) -> np.ndarray:
        """Returns the length of each value, <int64>[examples]; only for features with lengths."""
        raise NotImplementedError(f"{self.kind} has no lengths")

    def resampler(self, column: Column, options: DataOptions) -> Resampler | None:
        """Returns a function that encodes the values again for every epoch, or None if they do not change."""
        return None

    # Batches

    @property
    def host_spec(self) -> tf.TensorSpec:
        """Specification of the result of `host_batch`."""
        return tf.TensorSpec([None], tf.int32)

    def host_batch(self, encoded: Any, indices: np.ndarray, length: int | None) -> np.ndarray:
        """Returns the part of a batch that is prepared in NumPy, as input of `graph_batch`.

        Args:
            encoded: encoded values of the whole split.
            indices: <int32>[batch], indices of the examples.
            length: length that values are padded to; None for features without lengths.
        """
        return indices

    def graph_batch(self, encoded: Any) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a graph function from the result of `host_batch` to the values of a batch."""
        values = tf.constant(encoded)
        return lambda indices: tf.gather(values, indices)

    def augment(
        self,
        tensors: Mapping[str, tf.Tensor],
        options: DataOptions,
        seeds: tf.Tensor,
        fraction_done: tf.Tensor | float = 0.0,
    ) -> dict[str, tf.Tensor]:
        """Applies random augmentation to training examples.

        Args:
            tensors: name -> values of the batch, for all augmented features including this one.
            options: options of the data set.
            seeds: <int32>[batch, 2], random seed of each example.
            fraction_done: <float32>[], fraction of training that precedes the batch, 0 to 1.
        """
        return dict(tensors)

    def prepare(self, values: tf.Tensor) -> tf.Tensor:
        """Returns values of a batch, or of `raw_reader`, as models take them; part of the graph of the model.

        See `DataInfo.model_inputs`.
        """
        return values

    def find_damaged(self, encoded: Any, origin: str) -> BadRecord | None:
        """Returns the first value that has become unreadable since the start, if any; for a failed batch."""
        return None

    # Raw input

    def locate(self, value: str, folder: Path | None) -> str:
        """Returns a raw input as predictors take it: one that names a file as a path that leads to it.

        Args:
            value: a text, or the path of a file.
            folder: folder to search for such a file, besides the working directory.
        """
        return value

    def expand_input(self, argument: str) -> list[str] | None:
        """Returns the raw inputs that an argument of the command line names, such as a folder of images.

        None if it is a file that lists them.

        Raises:
            UserError: it names none.
        """
        return None

    def raw(self, column: Column) -> list[bytes]:
        """Returns the values as inputs of an export: texts in UTF-8, or the bytes of image files."""
        raise NotImplementedError(f"{self.kind} cannot be an input of an export")

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns the conversion of raw inputs to values of a batch.

        Args:
            length: largest number of tokens; None for features without lengths.
        """
        raise NotImplementedError(f"{self.kind} cannot be an input of an export")

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the graph of `raw_reader` uses operations of TensorFlow Text."""
        return False

    # The examples that a run keeps

    def pack(self, column: Column) -> dict[str, np.ndarray]:
        """Returns raw values as arrays, without reference to files, from which `unpack` makes them again.

        A feature whose column is an array of numbers, packed as `values`, has an `unpack` of its own.
        """
        if column.dtype != object:
            return {"values": column}
        return pack_bytes([text.encode("utf-8", "surrogatepass") for text in column])

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the values that `pack` has packed. The arrays are untrusted.

        Raises:
            ValueError: they are not values of this feature.
        """
        return object_array([data.decode("utf-8", "surrogatepass") for data in unpack_bytes(arrays)])

    # Descriptions and checks

    def difference(self, declared: Feature) -> str | None:
        """Returns how the feature as declared by new data differs from this one, or None."""
        return None

    def describe(self, name: str, column: Column, encoded: Any) -> dict[str, Any]:
        """Returns the statistics of a split for `data inspect`, as JSON: topic -> content."""
        return {}

    def summary(self, name: str) -> str:
        """Returns a short description of what was learned, or an empty string."""
        return ""

    def balance(self, encoded: Mapping[str, Any]) -> list[str]:
        """Returns lines about imbalance, given split -> encoded values; none if balanced."""
        return []

    def data_notes(self, encoded: Mapping[str, Any]) -> Iterator[str]:
        """Yields a line for each probable mistake in the data, given split -> encoded values."""
        yield from ()

    def strata(self, column: Column) -> np.ndarray | None:
        """Returns the stratum of each value, <int>[examples], for stratified splits; None without."""
        return None

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns hashable contents of the values of each column, comparable across the columns."""
        return [[digest(np.ascontiguousarray(value).tobytes()) for value in column] for column in columns]

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields bytes that identify the values, to detect changed data."""
        if column.dtype != object:
            yield np.ascontiguousarray(column).tobytes()
            return
        for value in column:
            data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            yield len(data).to_bytes(8, "little") + data

    def is_like(self, declared: Feature) -> bool:
        """Whether this feature can be the learned form of the one that a task declares."""
        return type(self) is type(declared)

    def problems(self, name: str) -> Iterator[str]:
        """Yields problems of an invalid state, as it may come from an untrusted file."""
        yield from ()


def digest(data: bytes) -> bytes:
    """Returns the 16-byte BLAKE2 digest of bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()
