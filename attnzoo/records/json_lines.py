"""Records of JSON Lines files, one by one: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import Lines, Row, bad_text, names_of, shown_json
from attnzoo.records.text_files import listed, shown
from attnzoo.suggest import did_you_mean


def read_json_lines(path: str, lines: Lines, required: Sequence[str]) -> Iterator[Row | BadRecord]:
    """Yields the records of a file; empty lines are skipped. Arguments are those of `tables.read_rows`."""
    empty = True
    for line, content in lines:
        if content.strip(" \t\r\n"):
            empty = False
            try:
                yield Row(line, _parse_record(f"{path}:{line}", content.rstrip("\r\n"), required))
            except BadRecord as bad:
                yield bad
    if empty:
        raise UserError(
            f"{path}: empty; expected one JSON object a line with the {names_of('key', required)}."
        )


def _parse_record(place: str, content: str, required: Sequence[str]) -> dict[str, Any]:
    bad = bad_text(place, content)
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
