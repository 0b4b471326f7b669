"""Records of CSV, TSV and JSON Lines files, one by one: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import collections
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, encodable, listed, shown
from attnzoo.suggest import did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = ".jsonl"
SUFFIXES = (*DELIMITERS, JSON_LINES)

Lines = Iterable[tuple[int, str]]
"""Line number from 1 and text of each line, as `read_lines` yields them."""


class Row(NamedTuple):
    """One record.

    Attributes:
        line: on which it starts.
        values: by the name of their column or key: text in a table, any JSON value in JSON Lines.
    """

    line: int
    values: dict[str, Any]


def read_rows(
    path: str, lines: Lines, suffix: str, required: Sequence[str], strict: bool = True
) -> Iterator[Row | BadRecord]:
    """Yields the records of a file, checked one by one; empty lines are skipped.

    Args:
        path: name of the file, for messages.
        lines: of the file.
        suffix: what is in it, one of `SUFFIXES`.
        required: columns or keys that every record must have.
        strict: bytes that are not UTF-8 were refused where the lines were read.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    if suffix == JSON_LINES:
        return _read_json_lines(path, lines, required)
    return _read_table(path, lines, DELIMITERS[suffix], required, strict)


def require_text(place: str, what: str, value: str, limit: int = MAX_TEXT_CHARACTERS) -> None:
    """Refuses a value that is empty or no text.

    Args:
        place: file and line.
        what: what the value is, for messages: "text", "label".
        value: the value.
        limit: most characters.

    Raises:
        BadRecord: what is wrong with it.
    """
    if not value.strip():
        raise BadRecord(
            place, f"with an empty {what}", f"the {what} is empty; fill it in or remove the record."
        )
    if len(value) > limit:
        raise BadRecord(
            place, f"with a too long {what}", f"the {what} is longer than {limit:,} characters; cut it."
        )
    if "\0" in value:
        raise BadRecord(place, "with a NUL character", f"NUL character in the {what}; remove it.")
    if not encodable(value):
        raise BadRecord(
            place, "with half a character", f"half a surrogate pair in the {what}; write the whole character."
        )


def require_string(place: str, name: str, value: Any, or_whole_number: bool = False) -> None:
    """Refuses a JSON value that is no string, or no whole number where one will do too.

    Raises:
        BadRecord: with the name of its key and the value.
    """
    kinds = (str, int) if or_whole_number else (str,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        expected = "a string or a whole number" if or_whole_number else "a string"
        raise BadRecord(
            place, "with a value of another kind", f"{name!r} must be {expected}; got {shown_json(value)}."
        )


def _names(kind: str, names: Sequence[str]) -> str:
    """Returns ("column", ["a", "b"]) as "columns 'a' and 'b'"."""
    return f"{kind}{'s' if len(names) > 1 else ''} {' and '.join(map(repr, names))}"


def _read_table(
    path: str, lines: Lines, delimiter: str, required: Sequence[str], strict: bool
) -> Iterator[Row | BadRecord]:
    rows = _read_fields(path, lines, delimiter, strict)
    header_line, header = next(rows, (1, []))
    if isinstance(header, BadRecord):
        raise header
    if not header:
        raise UserError(f"{path}: empty; the first line must name the {_names('column', required)}.")
    name, count = collections.Counter(header).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}:{header_line}: column '{shown(name)}' occurs {count} times; rename one.")
    for name in required:
        if name not in header:
            raise UserError(
                f"{path}:{header_line}: no column {name!r}{did_you_mean(name, header)}; the header has: "
                f"{listed(header)}."
            )
    empty = True
    for line, fields in rows:
        empty = False
        if isinstance(fields, BadRecord):
            yield fields
        elif len(fields) != len(header):
            yield BadRecord(
                f"{path}:{line}",
                "with another number of columns than the header",
                f"{len(fields)} columns; the header has {len(header)} ('{shown(delimiter.join(header))}'). "
                "Quote texts that hold the delimiter or a line break.",
            )
        else:
            yield Row(line, dict(zip(header, fields, strict=True)))
    if empty:
        raise UserError(f"{path}: only a header; at least one example is needed.")


def _read_fields(
    path: str, lines: Lines, delimiter: str, strict: bool
) -> Iterator[tuple[int, list[str] | BadRecord]]:
    """Yields (line where the row starts, fields) of every row that is not an empty line."""
    reader = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True)
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


def _read_json_lines(path: str, lines: Lines, required: Sequence[str]) -> Iterator[Row | BadRecord]:
    empty = True
    for line, content in lines:
        if content.strip(" \t\r\n"):
            empty = False
            try:
                yield Row(line, _parse_record(f"{path}:{line}", content.rstrip("\r\n"), required))
            except BadRecord as bad:
                yield bad
    if empty:
        raise UserError(f"{path}: empty; expected one JSON object a line with the {_names('key', required)}.")


def _parse_record(place: str, content: str, required: Sequence[str]) -> dict[str, Any]:
    bad = _bad_text(place, content)
    if bad:
        raise bad
    values = _parse_object(place, content)
    for name in required:
        if name not in values:
            raise BadRecord(
                place,
                "without a key",
                f"no key {name!r}{did_you_mean(name, values)}; the keys are: {listed(values)}.",
            )
    return values


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
        raise BadRecord(place, "not JSON", f"expected a JSON object like {{...}}; got {shown_json(values)}.")
    return values


def shown_json(value: Any) -> str:
    """Returns the beginning of a parsed value as JSON, as a message shows it."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:
        return "a deeply nested value"


def _bad_text(place: str, text: str) -> BadRecord | None:
    """Returns what is wrong with text that was read leniently."""
    if "\0" in text:
        return BadRecord(place, "with a NUL character", "NUL character; remove it.")
    if not encodable(text):
        return BadRecord(place, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    return None
