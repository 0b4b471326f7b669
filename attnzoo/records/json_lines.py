"""Reads JSON Lines files one record at a time; errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import Lines, Row, find_text_problem, json_excerpt, quote_names
from attnzoo.records.text_files import join_names, printable
from attnzoo.suggest import did_you_mean


def read_json_lines(path: str, lines: Lines, required: Sequence[str]) -> Iterator[Row | BadRecord]:
    """Yields the records of a file, skipping empty lines. For the arguments see `tables.read_rows`."""
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
            f"{path}: empty; expected one JSON object per line with the {quote_names('key', required)}."
        )


def _parse_record(location: str, content: str, required: Sequence[str]) -> dict[str, Any]:
    bad = find_text_problem(location, content)
    if bad:
        raise bad
    values = _parse_object(location, content)
    found, problems = dict(values), []
    for name in required:
        try:
            found[name] = _find_value(location, values, name)
        except BadRecord as problem:
            problems.append(problem)
    if problems:
        problems[0].values = found  # such as its id
        raise problems[0]
    return found


def _find_value(location: str, values: dict[str, Any], name: str) -> Any:
    """Returns the value of a key, or of a key in a nested object by its path: `review.body`.

    Raises:
        BadRecord: there is none; names the keys of the object that lacks it.
    """
    if name in values:
        return values[name]
    value: Any = values
    path = ""
    for key in name.split("."):
        if not isinstance(value, dict):
            message = f"no key {name!r}: '{path}' is not an object; got {json_excerpt(value)}."
            raise BadRecord(location, "with a missing key", message)
        if key not in value:
            known = value if path else _paths(values)
            what = f"'{path}' has no key {key!r}" if path else f"no key {name!r}"
            message = (
                f"{what}{did_you_mean(key if path else name, known)}; the keys are: {join_names(known)}."
            )
            raise BadRecord(location, "with a missing key", message)
        value, path = value[key], f"{path}.{key}" if path else key
    return value


def _paths(values: dict[str, Any]) -> list[str]:
    """Returns the keys, and after those of nested objects the paths of the keys in them."""
    paths = []
    for key, value in values.items():
        paths.append(key)
        paths += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else []
    return paths


def _parse_object(location: str, content: str) -> dict[str, Any]:
    """Parses the JSON object in a line.

    Raises:
        BadRecord: the line is not a single JSON object, or a key occurs twice.
    """

    def reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            duplicate, _ = collections.Counter(name for name, _ in pairs).most_common(1)[0]
            raise BadRecord(
                location, "with a duplicate key", f"key '{printable(duplicate)}' occurs twice; keep one."
            )
        return values

    def reject_constant(constant: str) -> NoReturn:
        raise BadRecord(location, "not JSON", f"{constant} is not JSON; use a number, a string or null.")

    try:
        values = json.loads(content, object_pairs_hook=reject_duplicates, parse_constant=reject_constant)
    except json.JSONDecodeError as error:
        message = f"not a single JSON object: {error.msg.removesuffix(' at')} at column {error.colno}."
        raise BadRecord(location, "not JSON", message) from None
    except (RecursionError, ValueError) as error:
        message = f"not readable JSON ({type(error).__name__}): nested too deeply or too long."
        raise BadRecord(location, "not JSON", message) from None
    if not isinstance(values, dict):
        raise BadRecord(
            location, "not JSON", f"expected a JSON object such as {{...}}; got {json_excerpt(values)}."
        )
    return values
