"""Reads input texts for prediction, from plain lines or records, one at a time. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import Lines, require_string, require_text
from attnzoo.records.tables import SUFFIXES, read_rows, suffix_of
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, is_encodable, read_lines, read_standard_input

LINES = "lines"
STANDARD_INPUT = "-"


class TextRecord(NamedTuple):
    """A text, the `id` of its record if it has one, and its file and line."""

    text: str
    id: str | int | None = None
    location: str = ""


def text_format(file: str) -> str:
    """Returns "csv", "tsv" or "jsonl" by the suffix of a file, ignoring `.gz`; "lines" for any other suffix.

    Examples:
        >>> text_format("reviews.tsv.gz"), text_format("reviews.txt")
        ('tsv', 'lines')
    """
    suffix = suffix_of(file)
    return suffix.removeprefix(".") if suffix in SUFFIXES else LINES


def read_texts(file: str, format: str, column: str) -> Iterator[TextRecord]:
    """Yields the texts of a file in order; memory use does not grow with their number.

    Args:
        file: UTF-8 file, plain or `.gz`; "-" is standard input.
        format: "lines" (each line is a text, even an empty one), "csv", "tsv" or "jsonl" (empty lines are
            skipped).
        column: column or key with the text; not used for "lines".

    Raises:
        UserError: a record cannot be used; names file and line.
    """
    if file == STANDARD_INPUT:
        file, lines = "standard input", read_standard_input()
    else:
        lines = read_lines(file)
    if format == LINES:
        yield from _read_plain_lines(file, lines)
        return
    for row in read_rows(file, lines, f".{format}", (column,)):
        if isinstance(row, BadRecord):
            raise row
        location, text = f"{file}:{row.line}", row.values[column]
        require_string(location, column, text)
        require_text(location, "text", text)
        yield TextRecord(text, _record_id(location, row.values), location)


def _read_plain_lines(file: str, lines: Lines) -> Iterator[TextRecord]:
    for number, line in lines:
        if len(line) > MAX_TEXT_CHARACTERS:
            raise UserError(f"{file}:{number}: longer than {MAX_TEXT_CHARACTERS:,} characters; split it.")
        yield TextRecord(line.removesuffix("\n").removesuffix("\r"), location=f"{file}:{number}")


def _record_id(location: str, values: dict[str, Any]) -> str | int | None:
    """Returns the `id` of a record, or None if it is missing or null."""
    record_id = values.get("id")
    if record_id is None:
        return None
    require_string(location, "id", record_id, or_whole_number=True)
    if isinstance(record_id, str) and not is_encodable(record_id):
        raise BadRecord(
            location, "with a lone surrogate", "lone surrogate (half a character) in the id; replace it."
        )
    return record_id
