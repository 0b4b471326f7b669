"""Rows of files of records, and what their values must be. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, encodable, is_blank

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
    if is_blank(value):
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


def shown_json(value: Any) -> str:
    """Returns the beginning of a parsed value as JSON, as a message shows it."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:
        return "a deeply nested value"


def bad_text(place: str, text: str) -> BadRecord | None:
    """Returns what is wrong with text that was read leniently."""
    if "\0" in text:
        return BadRecord(place, "with a NUL character", "NUL character; remove it.")
    if not encodable(text):
        return BadRecord(place, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    return None


def names_of(kind: str, names: Sequence[str]) -> str:
    """Returns ("column", ["a", "b"]) as "columns 'a' and 'b'"."""
    return f"{kind}{'s' if len(names) > 1 else ''} {' and '.join(map(repr, names))}"
