"""Splits from files of records: each feature reads its column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attnzoo.config.base import Problem
from attnzoo.config.sections import TableOptions
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.rows import Row
from attnzoo.records.tables import SUFFIXES, Dialect, read_rows, suffix_of
from attnzoo.records.text_files import read_lines


class Record(NamedTuple):
    """One example, and the file and line where it starts."""

    place: str
    values: dict[str, Any]


def load_records(
    paths: Mapping[str, str | None],
    columns: Mapping[str, str],
    features: Mapping[str, Feature],
    options: TableOptions,
) -> DataSplits:
    """Reads the splits of a data set from files, one record an example.

    Args:
        paths: split -> file ending in .csv, .tsv or .jsonl, optionally followed by .gz; `train` is there.
        columns: feature -> name of its column or key.
        features: those of the task.
        options: of the data set.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    known = dict(features)
    splits: dict[str, Split] = {}
    for name, path in paths.items():
        if path is None:
            continue
        records = read_records(path, columns, known, options)
        if options.on_bad_record == "skip":
            records = _readable(list(records), known)
        if name == "train":
            kept = filter_records(records, path, options)
            if kept:
                known = {
                    one: feature.declare([record.values[one] for record in kept], path, columns[one])
                    for one, feature in known.items()
                }
        else:
            kept = filter_records(_known_alone(records, known), path, options)
        values = {one: [record.values[one] for record in kept] for one in known}
        splits[name] = Split({one: feature.column(values[one]) for one, feature in known.items()}, path)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), known)


def require_columns(options: TableOptions, features: Mapping[str, Feature]) -> None:
    """Refuses options that give two features one column, or one that they do not have.

    Raises:
        UserError: what `TableOptions.problems` says first.
    """
    for key, what in options.problems(features):
        raise UserError(f"data.{'.'.join(map(str, key))}: {what}.")


def look_at_columns(path: str, options: TableOptions, features: Mapping[str, Any]) -> None:
    """Reads the header of a file, or its first record, for the columns of the features.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    names = list(options.named_columns(features).values())
    for row in _rows(path, names, options):
        if isinstance(row, BadRecord) and options.on_bad_record == "error":
            raise row
        return


def suffix_problems(files: Iterable[tuple[KeyPath, str]]) -> Iterator[Problem]:
    """Yields the files whose names do not say what is in them."""
    for key, path in files:
        if suffix_of(path) not in SUFFIXES:
            known = "expected .csv, .tsv or .jsonl, optionally followed by .gz"
            yield key, f"{path}: unknown suffix {suffix_of(path)!r}; {known}"


def _rows(path: str, names: Sequence[str], options: TableOptions) -> Iterator[Row | BadRecord]:
    strict = options.on_bad_record == "error"
    dialect = Dialect(options.delimiter, options.quoting == "minimal", tuple(options.columns or ()))
    lines = read_lines(path, strict, options.encoding)
    return read_rows(path, lines, suffix_of(path), names, strict, dialect)


def read_records(
    path: str, columns: Mapping[str, str], features: Mapping[str, Feature], options: TableOptions
) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, checked one by one.

    Args:
        path: file ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        columns: feature -> name of its column or key.
        features: read their values.
        options: of the data set.

    Raises:
        UserError: the file as a whole cannot be read; with `on_bad_record: error` a line that is not UTF-8.
    """
    for _, what in suffix_problems([((), path)]):
        raise UserError(f"{what}.")
    for row in _rows(path, [columns[name] for name in features], options):
        if isinstance(row, BadRecord):
            yield row
            continue
        place = f"{path}:{row.line}"
        try:
            values = {
                name: feature.read(place, columns[name], row.values[columns[name]], options)
                for name, feature in features.items()
            }
        except BadRecord as bad:
            yield bad
        else:
            yield Record(place, values)


def _readable(
    records: Sequence[Record | BadRecord], features: Mapping[str, Feature]
) -> Iterator[Record | BadRecord]:
    """Yields the records, with a bad one in the place of each of which a value cannot be read."""
    whole = [record for record in records if not isinstance(record, BadRecord)]
    broken = {
        whole[index].place: bad
        for name, feature in features.items()
        for index, bad in feature.unreadable([record.values[name] for record in whole]).items()
    }
    for record in records:
        bad = None if isinstance(record, BadRecord) else broken.get(record.place)
        yield record if bad is None else BadRecord(record.place, bad.reason, str(bad))


def _known_alone(
    records: Iterator[Record | BadRecord], features: Mapping[str, Feature]
) -> Iterator[Record | BadRecord]:
    """Yields the records, with a bad one in the place of each of which train says nothing."""
    for record in records:
        if isinstance(record, BadRecord):
            yield record
            continue
        try:
            for name, feature in features.items():
                feature.require_known(record.place, record.values[name])
        except BadRecord as bad:
            yield bad
        else:
            yield record
