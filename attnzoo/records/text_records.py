"""Texts to be answered, from plain lines or from records, one by one. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import Lines, require_string, require_text
from attnzoo.records.tables import SUFFIXES, read_rows, suffix_of
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, encodable, read_lines, read_standard_input

LINES = "lines"
STANDARD_INPUT = "-"


class TextRecord(NamedTuple):
    """A text, what its record is called if it has an `id`, and its file and line."""

    text: str
    id: str | int | None = None
    place: str = ""


def format_of(file: str) -> str:
    """Returns "csv", "tsv" or "jsonl" for a file that ends so, or so and `.gz`; else "lines"."""
    suffix = suffix_of(file)
    return suffix.removeprefix(".") if suffix in SUFFIXES else LINES


def read_texts(file: str, form: str, column: str) -> Iterator[TextRecord]:
    """Yields the texts of a file in order; memory does not grow with their number.

    Args:
        file: UTF-8, plain or `.gz`; "-" is standard input.
        form: "lines" (each line is a text, an empty one too), "csv", "tsv" or "jsonl" (empty lines are no
            records).
        column: column or key that holds the text; not used for lines.

    Raises:
        UserError: with file and line, whatever is not as expected.
    """
    if file == STANDARD_INPUT:
        file, lines = "standard input", read_standard_input()
    else:
        lines = read_lines(file)
    if form == LINES:
        yield from _whole_lines(file, lines)
        return
    for row in read_rows(file, lines, f".{form}", (column,)):
        if isinstance(row, BadRecord):
            raise row
        place, text = f"{file}:{row.line}", row.values[column]
        require_string(place, column, text)
        require_text(place, "text", text)
        yield TextRecord(text, _id_of(place, row.values), place)


def _whole_lines(file: str, lines: Lines) -> Iterator[TextRecord]:
    for number, line in lines:
        if len(line) > MAX_TEXT_CHARACTERS:
            raise UserError(f"{file}:{number}: longer than {MAX_TEXT_CHARACTERS:,} characters; split it.")
        yield TextRecord(line.removesuffix("\n").removesuffix("\r"), place=f"{file}:{number}")


def _id_of(place: str, values: dict[str, Any]) -> str | int | None:
    """Returns the `id` of a record; None where it has none, or null."""
    name = values.get("id")
    if name is None:
        return None
    require_string(place, "id", name, or_whole_number=True)
    if isinstance(name, str) and not encodable(name):
        raise BadRecord(
            place, "with half a character", "half a surrogate pair in the id; write the whole character."
        )
    return name
