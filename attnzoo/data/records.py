"""Loads splits from tables and JSON Lines files; each feature reads its own column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.config.sections import TableOptions, files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.rows import Row
from attnzoo.records.tables import SUFFIXES, Dialect, read_rows, suffix_of
from attnzoo.records.text_files import read_lines


class Record(NamedTuple):
    """The values of one example by feature, and the file and line where it starts."""

    location: str
    values: dict[str, Any]


class TableFileOptions(TableOptions):
    """Options of data with one table for each split."""

    train: str = Field(description="Training file.")
    validation: str | None = Field(
        None, description="Validation file, for selecting a checkpoint. Default: held out from train."
    )
    test: str | None = Field(None, description="Test file, for the final evaluation.")

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields files with an unknown suffix, and what `TableOptions` yields."""
        yield from super().problems(features)
        for key, path in self.files():
            if suffix_of(path) not in SUFFIXES:
                known = "expected .csv, .tsv or .jsonl, optionally followed by .gz"
                yield key, f"{path}: unknown suffix {suffix_of(path)!r}; {known}"

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the file of each split."""
        return files_of_splits(self.train, self.validation, self.test)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Reads the header of a file, or its first record, for the columns of the features.

        Raises:
            UserError: the file cannot be read, or lacks a column.
        """
        for row in _rows(file, list(self.named_columns(features).values()), self):
            if isinstance(row, BadRecord) and self.on_bad_record == "error":
                raise row
            return


def load_records(options: TableFileOptions, features: Mapping[str, Feature]) -> DataSplits:
    """Reads the splits of a data set from files with one record per example.

    Args:
        options: options of the data set, which name the files and the column of each feature.
        features: features of the task.

    Raises:
        UserError: options that do not fit together, or a file or record that cannot be used; names file and
            line.
    """
    for key, what in options.problems(features):
        raise UserError(f"data.{'.'.join(map(str, key))}: {what}.")
    columns = options.named_columns(features)
    known = dict(features)
    splits: dict[str, Split] = {}
    for (name, *_), path in options.files():
        records = read_records(path, columns, known, options)
        if options.on_bad_record == "skip":
            records = _mark_unreadable(list(records), known)
        if name == "train":
            usable = filter_records(records, path, options)
            if usable:
                known = {
                    one: feature.declare([record.values[one] for record in usable], path, columns[one])
                    for one, feature in known.items()
                }
        else:
            usable = filter_records(_mark_unknown(records, known), path, options)
        values = {one: [record.values[one] for record in usable] for one in known}
        splits[str(name)] = Split({one: feature.column(values[one]) for one, feature in known.items()}, path)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), known)


def _rows(path: str, names: Sequence[str], options: TableOptions) -> Iterator[Row | BadRecord]:
    strict = options.on_bad_record == "error"
    dialect = Dialect(options.delimiter, options.quoting == "minimal", tuple(options.columns or ()))
    lines = read_lines(path, strict, options.encoding)
    return read_rows(path, lines, suffix_of(path), names, strict, dialect)


def read_records(
    path: str, columns: Mapping[str, str], features: Mapping[str, Feature], options: TableOptions
) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, or a `BadRecord` for each that cannot be used.

    Args:
        path: path ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        columns: feature -> name of its column or key.
        features: features to read.
        options: options of the data set.

    Raises:
        UserError: the file as a whole cannot be read, or a line is not UTF-8 with `on_bad_record: error`.
    """
    for row in _rows(path, [columns[name] for name in features], options):
        if isinstance(row, BadRecord):
            yield row
            continue
        location = f"{path}:{row.line}"
        try:
            values = {
                name: feature.read(location, columns[name], row.values[columns[name]], options)
                for name, feature in features.items()
            }
        except BadRecord as bad:
            yield bad
        else:
            yield Record(location, values)


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
