"""Loads splits from tables and JSON Lines files; each feature reads its own column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.config.paths import FilePaths, expand, matching, origin_of
from attnzoo.config.sections import files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.config.tables import Columns, TableOptions, columns_in
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.rows import Row
from attnzoo.records.tables import SUFFIXES, dialect_of, read_rows, suffix_of
from attnzoo.records.text_files import read_lines


class Record(NamedTuple):
    """The values of one example by feature, and the file and line where it starts."""

    location: str
    values: dict[str, Any]


class TableFileOptions(TableOptions):
    """Options of data with tables for each split."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    train: FilePaths = Field(
        description="Training file, a pattern such as part*.csv, or a list of both. Files are read in the "
        "order of the list, those of a pattern sorted by name; each has its own header."
    )
    validation: FilePaths | None = Field(
        None, description="Validation files, for selecting a checkpoint. Default: held out from train."
    )
    test: FilePaths | None = Field(None, description="Test files, for the final evaluation.")

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields files with an unknown suffix or that are named twice, and what `TableOptions` yields."""
        yield from super().problems(features)
        seen: set[tuple[str | int, str]] = set()
        for key, path in self._named_files():
            if suffix_of(path) not in SUFFIXES:
                known = "expected .csv, .tsv or .jsonl, optionally followed by .gz"
                yield key, f"{path}: unknown suffix {suffix_of(path)!r}; {known}"
            elif (key[0], path) in seen:
                yield key, f"{path}: named twice; name each file once"
            seen.add((key[0], path))

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields each file of each split."""
        for key, path in self._named_files():
            yield from ((key, file) for file in matching(path))

    def _named_files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields each file or pattern of each split, without looking for it."""
        return files_of_splits(self.train, self.validation, self.test)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Reads the header of a file, or its first record, for the columns of the features.

        Raises:
            UserError: the file cannot be read, or lacks a column.
        """
        split = next((str(key[0]) for key, path in self.files() if path == file), "train")
        columns = columns_of_split(split, self.named_columns(features), features)
        for row in _rows(file, _all_columns(columns), self):
            if isinstance(row, BadRecord) and self.on_bad_record == "error":
                raise row.with_advice()
            return


def load_records(options: TableFileOptions, features: Mapping[str, Feature]) -> DataSplits:
    """Reads the splits of a data set from files with one record per example, in the order of the files.

    Args:
        options: options of the data set, which name the files and the column of each feature.
        features: features of the task; those that were learned before keep their classes.

    Raises:
        UserError: options that do not fit together, or a file or record that cannot be used; names file and
            line.
    """
    for key, what in options.problems(features):
        raise UserError(f"data.{'.'.join(map(str, key))}: {what}.")
    named = options.named_columns(features)
    known = {name: feature for name, feature in features.items() if name in named}
    splits: dict[str, Split] = {}
    for name, paths in (("train", options.train), ("validation", options.validation), ("test", options.test)):
        files = expand(paths)
        if not files:
            continue
        origin, columns = origin_of(files), columns_of_split(name, named, known)
        own = {one: known[one] for one in columns}
        records: Iterator[Record | BadRecord] = itertools.chain.from_iterable(
            read_records(file, columns, own, options) for file in files
        )
        if options.on_bad_record == "skip":
            records = _mark_unreadable(list(records), own)
        usable = filter_records(_mark_unknown(records, own), origin, options)
        values = {one: [record.values[one] for record in usable] for one in own}
        if name == "train" and usable:
            known = {one: _declare(own[one], values[one], origin, columns[one]) for one in own}
        splits[name] = Split({one: known[one].column(values[one]) for one in own}, origin)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), known)


def columns_of_split(
    split: str, columns: Mapping[str, Columns], features: Mapping[str, Feature]
) -> dict[str, Columns]:
    """Returns the columns that the tables of a split must have: weights are of training examples only."""
    return {name: one for name, one in columns.items() if split == "train" or not features[name].is_weight}


def _all_columns(columns: Mapping[str, Columns]) -> list[str]:
    return [column for names in columns.values() for column in columns_in(names)]


def _rows(path: str, names: Sequence[str], options: TableOptions) -> Iterator[Row | BadRecord]:
    strict = options.on_bad_record == "error"
    lines = read_lines(path, strict, options.encoding)
    return read_rows(path, lines, suffix_of(path), names, strict, dialect_of(options))


def read_records(
    path: str, columns: Mapping[str, Columns], features: Mapping[str, Feature], options: TableOptions
) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, or a `BadRecord` for each that cannot be used.

    Args:
        path: path ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        columns: feature -> name of its column or key, or of one for each of its classes.
        features: features to read.
        options: options of the data set.

    Raises:
        UserError: the file as a whole cannot be read, or a line is not UTF-8 with `on_bad_record: error`.
    """
    for row in _rows(path, _all_columns({name: columns[name] for name in features}), options):
        if isinstance(row, BadRecord):
            yield row
            continue
        location = f"{path}:{row.line}"
        try:
            values = {
                name: _read(feature, location, row, columns[name], options)
                for name, feature in features.items()
            }
        except BadRecord as bad:
            yield bad
        else:
            yield Record(location, values)


def _read(feature: Feature, location: str, row: Row, columns: Columns, options: TableOptions) -> Any:
    if isinstance(columns, str):
        return feature.read(location, columns, row.values[columns], options)
    return feature.read_columns(location, {name: row.values[name] for name in columns}, options)


def _declare(feature: Feature, values: Sequence[Any], origin: str, columns: Columns) -> Feature:
    if isinstance(columns, str):
        return feature.declare(values, origin, columns)
    return feature.declare_columns(values, origin, columns)


def _mark_unreadable(
    records: Sequence[Record | BadRecord], features: Mapping[str, Feature]
) -> Iterator[Record | BadRecord]:
    """Yields the records, replacing each that has an unreadable value with a `BadRecord`."""
    candidates = [record for record in records if not isinstance(record, BadRecord)]
    broken = {
        candidates[index].location: bad
        for name, feature in features.items()
        for index, bad in feature.unreadable([record.values[name] for record in candidates]).items()
    }
    for record in records:
        bad = None if isinstance(record, BadRecord) else broken.get(record.location)
        yield record if bad is None else BadRecord(record.location, bad.reason, str(bad))


def _mark_unknown(
    records: Iterator[Record | BadRecord], features: Mapping[str, Feature]
) -> Iterator[Record | BadRecord]:
    """Yields the records, replacing each that has a value unknown from train with a `BadRecord`."""
    for record in records:
        if isinstance(record, BadRecord):
            yield record
            continue
        try:
            for name, feature in features.items():
                feature.require_known(record.location, record.values[name])
        except BadRecord as bad:
            yield bad
        else:
            yield record
