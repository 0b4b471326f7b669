"""Texts with labels from CSV, TSV or JSON Lines files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.config.sections import TextOptions
from attnzoo.data.text_files import MAX_TEXT_CHARACTERS, nearest, object_array, read_lines
from attnzoo.errors import UserError
from attnzoo.info import TEXT_CLASSIFICATION, DataSplits, Split

TASKS = (TEXT_CLASSIFICATION,)

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class Config(TextOptions):
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

    Labels are the sorted labels of train, white space around them removed; empty lines are skipped.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    if config.text == config.label:
        raise UserError(f"data.text and data.label are both {config.text!r}; name two different columns.")
    train = list(read_records(config.train, config.text, config.label))
    labels = tuple(sorted({record.label for record in train}))
    if train and len(labels) < 2:
        raise UserError(
            f"{config.train}: every example has the label {labels[0]!r}; a classifier needs at least 2 "
            f"labels in column {config.label!r}."
        )
    splits = {"train": _split(config.train, train, labels)}
    for name in ("validation", "test"):
        path = getattr(config, name)
        if path is not None:
            splits[name] = _split(path, read_records(path, config.text, config.label), labels)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), labels)


def read_records(path: str, text: str, label: str) -> Iterator[Record]:
    """Yields the records of one file, checked one by one.

    Args:
        path: file ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        text: column or key of the text.
        label: column or key of the label.

    Raises:
        UserError: with file and line.
    """
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix in _DELIMITERS:
        return _read_table(path, _DELIMITERS[suffix], text, label)
    if suffix == ".jsonl":
        return _read_json_lines(path, text, label)
    raise UserError(
        f"{path}: unknown suffix {suffix!r}; expected .csv, .tsv or .jsonl, optionally followed by .gz."
    )


def _split(path: str, records: Iterable[Record], labels: tuple[str, ...]) -> Split:
    ids = {label: index for index, label in enumerate(labels)}
    texts: list[str] = []
    targets: list[int] = []
    for record in records:
        if record.label not in ids:
            shown = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
            raise UserError(
                f"{path}:{record.line}: label {record.label!r} does not occur in "
                f"train{nearest(record.label, labels)}; the labels of train are: {shown}."
            )
        texts.append(record.text)
        targets.append(ids[record.label])
    return Split({"text": object_array(texts), "label": np.array(targets, np.int32)}, path)


def _read_table(path: str, delimiter: str, text: str, label: str) -> Iterator[Record]:
    rows = _read_rows(path, delimiter)
    header_line, header = next(rows, (1, []))
    if not header:
        raise UserError(f"{path}: empty; the first line must name the columns {text!r} and {label!r}.")
    for name in header:
        if header.count(name) > 1:
            raise UserError(
                f"{path}:{header_line}: column {name!r} occurs {header.count(name)} times; rename one."
            )
    text_column, label_column = (_find_column(path, header_line, header, name) for name in (text, label))
    empty = True
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}:{line}: {len(row)} columns; the header has {len(header)} "
                f"({delimiter.join(header)!r}). Quote texts that hold the delimiter or a line break."
            )
        empty = False
        yield _checked(path, line, row[text_column], row[label_column])
    if empty:
        raise UserError(f"{path}: only a header; at least one example is needed.")


def _find_column(path: str, line: int, header: list[str], name: str) -> int:
    if name not in header:
        raise UserError(
            f"{path}:{line}: no column {name!r}{nearest(name, header)}; the header has: {', '.join(header)}."
        )
    return header.index(name)


def _read_rows(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (line where the row starts, fields) of every row that is not an empty line."""
    reader = csv.reader((text for _, text in read_lines(path)), delimiter=delimiter, strict=True)
    before = csv.field_size_limit()
    while True:
        line = reader.line_num + 1
        # The limit is a setting of the whole process: it is changed for one row and put back.
        csv.field_size_limit(MAX_TEXT_CHARACTERS)
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _fail_row(path, line, str(error))
        finally:
            csv.field_size_limit(before)
        if row:
            yield line, row


def _fail_row(path: str, line: int, reason: str) -> NoReturn:
    if "unexpected end of data" in reason:
        reason = 'the quote (") opened in this record is never closed'
    elif "field larger than field limit" in reason:
        reason = f'a field is longer than {MAX_TEXT_CHARACTERS:,} characters; is a quote (") not closed'
    elif "new-line character" in reason:
        reason = "a lone carriage return outside quotes; save the file with \\n line ends"
    raise UserError(f'{path}:{line}: {reason}. Write a quote inside a quoted field as "".') from None


def _read_json_lines(path: str, text: str, label: str) -> Iterator[Record]:
    empty = True
    for line, content in read_lines(path):
        if not content.strip(" \t\r\n"):
            continue
        values = _parse_object(path, line, content)
        fields = []
        for name in (text, label):
            if name not in values:
                raise UserError(
                    f"{path}:{line}: no key {name!r}{nearest(name, values)}; the keys are: "
                    f"{', '.join(values)}."
                )
            fields.append(values[name])
        if not isinstance(fields[0], str):
            raise UserError(f"{path}:{line}: {text!r} must be a string; got {json.dumps(fields[0])[:40]}.")
        if isinstance(fields[1], bool) or not isinstance(fields[1], str | int):
            raise UserError(
                f"{path}:{line}: {label!r} must be a string or a whole number; got "
                f"{json.dumps(fields[1])[:40]}."
            )
        empty = False
        yield _checked(path, line, fields[0], str(fields[1]))
    if empty:
        raise UserError(
            f"{path}: empty; expected one JSON object a line with the keys {text!r} and {label!r}."
        )


def _parse_object(path: str, line: int, content: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{path}:{line}: key {twice!r} occurs twice; keep one.")
        return values

    def refuse(constant: str) -> NoReturn:
        raise UserError(f"{path}:{line}: {constant} is not JSON; use a number, a string or null.")

    try:
        values = json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{line}: not one JSON object: {error.msg} at column {error.colno}.") from None
    except (RecursionError, ValueError) as error:
        raise UserError(
            f"{path}:{line}: not readable JSON ({type(error).__name__}): too deep or too long."
        ) from None
    if not isinstance(values, dict):
        raise UserError(f"{path}:{line}: expected a JSON object like {{...}}; got {json.dumps(values)[:40]}.")
    return values


def _checked(path: str, line: int, text: str, label: str) -> Record:
    label = label.strip()
    for what, value in (("text", text), ("label", label)):
        if not value.strip():
            raise UserError(f"{path}:{line}: the {what} is empty; fill it in or remove the record.")
        if len(value) > MAX_TEXT_CHARACTERS:
            raise UserError(
                f"{path}:{line}: the {what} is longer than {MAX_TEXT_CHARACTERS:,} characters; cut it."
            )
        if "\0" in value:
            raise UserError(f"{path}:{line}: NUL character in the {what}; remove it.")
        if not _encodable(value):
            raise UserError(f"{path}:{line}: half a surrogate pair in the {what}; write the whole character.")
    return Record(line, text, label)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
