"""Texts with labels from CSV, TSV or JSON Lines files."""

from __future__ import annotations

import collections
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions, TextOptions
from attnzoo.data.bad_records import BadRecord, sift
from attnzoo.data.text_files import (
    MAX_TEXT_CHARACTERS,
    encodable,
    listed,
    nearest,
    object_array,
    read_lines,
    shown,
)
from attnzoo.errors import UserError
from attnzoo.info import TEXT_CLASSIFICATION, DataSplits, Split

TASKS = (TEXT_CLASSIFICATION,)

MAX_LABEL_CHARACTERS = 1000
"""Longest label: more is a column of another kind."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class Config(TextOptions, FileOptions):
    """Files by suffix: `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, each also with `.gz`; UTF-8."""

    name: Literal["csv"] = Field(description="Texts with labels from csv, tsv or jsonl files.")
    train: str = Field(description="File to learn from.")
    validation: str | None = Field(None, description="File to select on. Default: carved from train.")
    test: str | None = Field(None, description="File to report on.")
    text: str = Field("text", description="Column (jsonl: key) with the text.")
    label: str = Field("label", description="Column (jsonl: key) with the label.")


class Record(NamedTuple):
    """One example and the line of the file on which it starts."""

    line: int
    text: str
    label: str


def load(config: Config, task: str, seed: int) -> DataSplits:
    """Returns texts <object>[examples] and labels <int32>[examples], in file order.

    Labels are the sorted labels of train, white space around them removed; empty lines are skipped. With
    `on_bad_record: skip` so are records that are not whole, and records of a label that train does not have.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    if config.text == config.label:
        raise UserError(f"data.text and data.label are both {config.text!r}; name two different columns.")
    train = sift(read_records(config.train, config), config.train, config)
    labels = tuple(sorted({record.label for record in train}))
    if train and len(labels) < 2:
        raise UserError(
            f"{config.train}: every example has the label '{shown(labels[0])}'; a classifier needs at least "
            f"2 labels in column {config.label!r}."
        )
    splits = {"train": _split(config.train, train, labels)}
    for name in ("validation", "test"):
        path = getattr(config, name)
        if path is not None:
            records = _with_known_label(path, read_records(path, config), labels)
            splits[name] = _split(path, sift(records, path, config), labels)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), labels)


def read_records(path: str, config: Config) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, checked one by one.

    Args:
        path: file ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        config: names the columns or keys of text and label.

    Raises:
        UserError: the file as a whole cannot be read; with `on_bad_record: error` a line that is not UTF-8.
    """
    strict = config.on_bad_record == "error"
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix in _DELIMITERS:
        return _read_table(path, _DELIMITERS[suffix], config.text, config.label, strict)
    if suffix == ".jsonl":
        return _read_json_lines(path, config.text, config.label, strict)
    raise UserError(
        f"{path}: unknown suffix {suffix!r}; expected .csv, .tsv or .jsonl, optionally followed by .gz."
    )


def _with_known_label(
    path: str, records: Iterator[Record | BadRecord], labels: tuple[str, ...]
) -> Iterator[Record | BadRecord]:
    known = set(labels)
    for record in records:
        if isinstance(record, BadRecord) or record.label in known:
            yield record
        else:
            yield BadRecord(
                f"{path}:{record.line}",
                "with a label that train does not have",
                f"label '{shown(record.label)}' does not occur in train{nearest(record.label, labels)}; the "
                f"labels of train are: {listed(labels)}.",
            )


def _split(path: str, records: list[Record], labels: tuple[str, ...]) -> Split:
    ids = {label: index for index, label in enumerate(labels)}
    texts = object_array([record.text for record in records])
    targets = np.array([ids[record.label] for record in records], np.int32)
    return Split({"text": texts, "label": targets}, path)


def _read_table(
    path: str, delimiter: str, text: str, label: str, strict: bool
) -> Iterator[Record | BadRecord]:
    rows = _read_rows(path, delimiter, strict)
    header_line, header = next(rows, (1, []))
    if isinstance(header, BadRecord):
        raise header
    if not header:
        raise UserError(f"{path}: empty; the first line must name the columns {text!r} and {label!r}.")
    name, count = collections.Counter(header).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}:{header_line}: column '{shown(name)}' occurs {count} times; rename one.")
    text_column, label_column = (_find_column(path, header_line, header, name) for name in (text, label))
    empty = True
    for line, row in rows:
        empty = False
        if isinstance(row, BadRecord):
            yield row
        elif len(row) != len(header):
            yield BadRecord(
                f"{path}:{line}",
                "with another number of columns than the header",
                f"{len(row)} columns; the header has {len(header)} ('{shown(delimiter.join(header))}'). "
                "Quote texts that hold the delimiter or a line break.",
            )
        else:
            yield _checked(f"{path}:{line}", line, row[text_column], row[label_column])
    if empty:
        raise UserError(f"{path}: only a header; at least one example is needed.")


def _find_column(path: str, line: int, header: list[str], name: str) -> int:
    if name not in header:
        raise UserError(
            f"{path}:{line}: no column {name!r}{nearest(name, header)}; the header has: {listed(header)}."
        )
    return header.index(name)


def _read_rows(path: str, delimiter: str, strict: bool) -> Iterator[tuple[int, list[str] | BadRecord]]:
    """Yields (line where the row starts, fields) of every row that is not an empty line."""
    lines = (text for _, text in read_lines(path, strict))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    before = csv.field_size_limit()
    while True:
        line = reader.line_num + 1
        place = f"{path}:{line}"
        # The limit is a setting of the whole process: it is changed for one row and put back.
        csv.field_size_limit(MAX_TEXT_CHARACTERS)
        row: list[str] | BadRecord
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = _bad_row(place, str(error))
        finally:
            csv.field_size_limit(before)
        if isinstance(row, list) and row and not strict:
            row = _bad_text(place, "".join(row)) or row
        if row:
            yield line, row


def _bad_row(place: str, problem: str) -> BadRecord:
    """Returns the problem of a row, in plain words.

    Raises:
        UserError: an open quote: it took the rest of the file into one field.
    """
    advice = 'Write a quote inside a quoted field as "".'
    if "unexpected end of data" in problem:
        raise UserError(f'{place}: the quote (") opened in this record is never closed. {advice}')
    if "field larger than field limit" in problem:
        raise UserError(
            f'{place}: a field is longer than {MAX_TEXT_CHARACTERS:,} characters; is a quote (") not '
            f"closed. {advice}"
        )
    if "new-line character" in problem:
        problem = "a lone carriage return outside quotes; save the file with \\n line ends"
    return BadRecord(place, "with quotes or line ends that do not fit", f"{problem}. {advice}")


def _read_json_lines(path: str, text: str, label: str, strict: bool) -> Iterator[Record | BadRecord]:
    empty = True
    for line, content in read_lines(path, strict):
        if content.strip(" \t\r\n"):
            empty = False
            try:
                yield _parse_record(f"{path}:{line}", line, content.rstrip("\r\n"), text, label)
            except BadRecord as bad:
                yield bad
    if empty:
        raise UserError(
            f"{path}: empty; expected one JSON object a line with the keys {text!r} and {label!r}."
        )


def _parse_record(place: str, line: int, content: str, text: str, label: str) -> Record | BadRecord:
    bad = _bad_text(place, content)
    if bad:
        return bad
    values = _parse_object(place, content)
    for name in (text, label):
        if name not in values:
            return BadRecord(
                place,
                "without a key",
                f"no key {name!r}{nearest(name, values)}; the keys are: {listed(values)}.",
            )
    if not isinstance(values[text], str):
        return BadRecord(
            place, "with a value of another kind", f"{text!r} must be a string; got {_json(values[text])}."
        )
    if isinstance(values[label], bool) or not isinstance(values[label], str | int):
        return BadRecord(
            place,
            "with a value of another kind",
            f"{label!r} must be a string or a whole number; got {_json(values[label])}.",
        )
    return _checked(place, line, values[text], str(values[label]))


def _parse_object(place: str, content: str) -> dict[str, Any]:
    """Returns the object of a line.

    Raises:
        BadRecord: the line is not one JSON object, or a key of it occurs twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice, _ = collections.Counter(name for name, _ in pairs).most_common(1)[0]
            raise BadRecord(place, "with a key twice", f"key '{shown(twice)}' occurs twice; keep one.")
        return values

    def refuse(constant: str) -> NoReturn:
        raise BadRecord(place, "not JSON", f"{constant} is not JSON; use a number, a string or null.")

    try:
        values = json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        what = f"not one JSON object: {error.msg.removesuffix(' at')} at column {error.colno}."
        raise BadRecord(place, "not JSON", what) from None
    except (RecursionError, ValueError) as error:
        what = f"not readable JSON ({type(error).__name__}): too deep or too long."
        raise BadRecord(place, "not JSON", what) from None
    if not isinstance(values, dict):
        raise BadRecord(place, "not JSON", f"expected a JSON object like {{...}}; got {_json(values)}.")
    return values


def _json(value: Any) -> str:
    """Returns the beginning of a parsed value as JSON."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:
        return "a deeply nested value"


def _checked(place: str, line: int, text: str, label: str) -> Record | BadRecord:
    label = label.strip()
    for what, value, limit in (
        ("text", text, MAX_TEXT_CHARACTERS),
        ("label", label, MAX_LABEL_CHARACTERS),
    ):
        if not value.strip():
            return BadRecord(
                place, f"with an empty {what}", f"the {what} is empty; fill it in or remove the record."
            )
        if len(value) > limit:
            return BadRecord(
                place, f"with a too long {what}", f"the {what} is longer than {limit:,} characters; cut it."
            )
        if "\0" in value:
            return BadRecord(place, "with a NUL character", f"NUL character in the {what}; remove it.")
        if not encodable(value):
            return BadRecord(
                place,
                "with half a character",
                f"half a surrogate pair in the {what}; write the whole character.",
            )
    return Record(line, text, label)


def _bad_text(place: str, text: str) -> BadRecord | None:
    """Returns what is wrong with text that was read leniently."""
    if "\0" in text:
        return BadRecord(place, "with a NUL character", "NUL character; remove it.")
    if not encodable(text):
        return BadRecord(place, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    return None
