"""Rows of tables and JSON Lines files, and checks of their values. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, is_blank, is_encodable

Lines = Iterable[tuple[int, str]]
"""(line number from 1, text) of each line, as `read_lines` yields them."""


class Row(NamedTuple):
    """One record.

    Attributes:
        line: number of the line where the record starts, from 1.
        values: column or key -> value: text in a table, any JSON value in JSON Lines.
    """

    line: int
    values: dict[str, Any]


def require_text(location: str, what: str, value: str, limit: int = MAX_TEXT_CHARACTERS) -> None:
    """Rejects a text that is empty, too long or not valid Unicode.

    Args:
        location: file and line, for messages.
        what: noun for the value in messages, such as "text" or "label".
        value: the text.
        limit: largest number of characters.

    Raises:
        BadRecord: the text cannot be used.
    """
    if is_blank(value):
        raise BadRecord(
            location, f"with an empty {what}", f"the {what} is empty; fill it in or remove the record."
        )
    if len(value) > limit:
        raise BadRecord(
            location,
            f"with an overlong {what}",
            f"the {what} is longer than {limit:,} characters; shorten it.",
        )
    if "\0" in value:
        raise BadRecord(location, "with a NUL character", f"NUL character in the {what}; remove it.")
    if not is_encodable(value):
        raise BadRecord(
            location,
            "with a lone surrogate",
            f"lone surrogate (half a character) in the {what}; replace it.",
        )


def require_string(location: str, name: str, value: Any, or_whole_number: bool = False) -> None:
    """Rejects a JSON value that is not a string (or, where allowed, a whole number).

    Raises:
        BadRecord: naming the key and the value.
    """
    kinds = (str, int) if or_whole_number else (str,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        expected = "a string or a whole number" if or_whole_number else "a string"
        raise BadRecord(
            location,
            "with a value of the wrong type",
            f"{name!r} must be {expected}; got {json_excerpt(value)}.",
        )


def json_excerpt(value: Any) -> str:
    """Returns the first 40 characters of a value as JSON, for messages."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:
        return "a deeply nested value"


def find_text_problem(location: str, text: str) -> BadRecord | None:
    """Returns the problem of a text that was read without strict decoding, or None."""
    if "\0" in text:
        return BadRecord(location, "with a NUL character", "NUL byte; remove it.")
    if not is_encodable(text):
        # Invalid bytes are U+DC80 to U+DCFF, see `text_files.read_lines`.
        byte = next((ord(char) & 0xFF for char in text if 0xDC80 <= ord(char) <= 0xDCFF), None)
        which = "" if byte is None else f": byte 0x{byte:02x}"
        return BadRecord(location, "not UTF-8", f"not UTF-8{which}; save the file as UTF-8.")
    return None


def quote_names(kind: str, names: Sequence[str]) -> str:
    """Returns, for example, "columns 'a' and 'b'" for ("column", ["a", "b"])."""
    return f"{kind}{'s' if len(names) > 1 else ''} {' and '.join(map(repr, names))}"
