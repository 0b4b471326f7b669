"""Splits from files of records: each feature reads its column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attnzoo.config.sections import TableOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.records.bad_records import BadRecord, filter_records
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
    strict = options.on_bad_record == "error"
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: unknown suffix {suffix!r}; expected .csv, .tsv or .jsonl, optionally followed by .gz."
        )
    names = [columns[name] for name in features]
    dialect = Dialect(options.delimiter, options.quoting == "minimal", tuple(options.columns or ()))
    for row in read_rows(path, read_lines(path, strict, options.encoding), suffix, names, strict, dialect):
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
