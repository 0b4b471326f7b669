"""Collects the errors in a config and describes them in plain words."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import reduce
from typing import Any

from attnzoo.config.outline import Outline, step
from attnzoo.config.source import Document, KeyPath, Origin
from attnzoo.errors import ConfigErrors
from attnzoo.suggest import hint, nearest

PydanticError = Mapping[str, Any]

MAX_ERRORS = 100
"""Maximum number of lines about values; a file of another kind has thousands of errors."""


class Problems:
    """Errors with their positions."""

    def __init__(self) -> None:
        self._lines: list[tuple[tuple[int, int], str]] = []

    def add(self, origin: Origin, path: KeyPath, what: str) -> None:
        """Adds one line `FILE:LINE: path: what`."""
        place = f"{dotted(path)}: " if path else ""
        self._lines.append((origin.order, " ".join(f"{origin.label}: {place}{what}".split())))

    def add_lines(self, origin: Origin, lines: list[str]) -> None:
        """Adds lines that already include their position."""
        self._lines.extend((origin.order, line) for line in lines)

    def raise_if_any(self) -> None:
        """Raises all errors together, in the order of their lines.

        Raises:
            ConfigErrors: there is at least one error.
        """
        if self._lines:
            raise ConfigErrors([line for _, line in sorted(self._lines, key=lambda entry: entry[0])])


def dotted(path: KeyPath) -> str:
    """Returns a path in the notation of users.

    Examples:
        >>> dotted(("train", "learning_rate"))
        'train.learning_rate'
    """
    return ".".join(str(key) for key in path)


def add_pydantic_errors(problems: Problems, errors: list[Any], document: Document, outline: Outline) -> None:
    """Adds the errors of pydantic, one line per position.

    Args:
        problems: receives the lines.
        errors: `ValidationError.errors()`.
        document: the validated document.
        outline: its outline.
    """
    by_path = errors_by_path(errors, document, outline)
    if len(by_path) > MAX_ERRORS:
        problems.add(document.origin_near(()), (), f"{len(by_path)} errors; the first {MAX_ERRORS} follow")
    for path, path_errors in itertools.islice(by_path.items(), MAX_ERRORS):
        kind = path_errors[0]["type"]
        around = outline.find(path, document.values)
        if kind == "union_tag_not_found" and around:
            add_missing_name(problems, document, path, list(around.components))
            continue
        position = (*path, "name") if kind == "union_tag_invalid" else path
        problems.add(document.origin_near(position), position, _what(path, path_errors[0], document, outline))


def add_missing_name(problems: Problems, document: Document, path: KeyPath, known: list[str]) -> None:
    """Adds the error that the mapping at `path` has no `name`, or a misspelled one."""
    near = nearest("name", reduce(step, path, document.values))
    position = (*path, near or "name")
    what = "unknown key, did you mean 'name'?" if near else f"missing key, expected one of {', '.join(known)}"
    problems.add(document.origin_near(position), position, what)


def errors_by_path(
    errors: list[Any], document: Document, outline: Outline
) -> dict[KeyPath, list[PydanticError]]:
    """Groups errors by their path in the document, without the union tags in pydantic's paths.

    If one alternative of a union failed as a whole and another one in a part of it, only the latter is kept.
    """
    by_path: dict[KeyPath, list[PydanticError]] = {}
    for error in errors:
        by_path.setdefault(_without_tags(error, document.values, outline), []).append(error)
    parents = {path[:length] for path in by_path for length in range(len(path))}
    return {path: path_errors for path, path_errors in by_path.items() if path not in parents}


def received(value: Any, raw: str | None = None) -> str:
    """Formats a value for an error: as typed if `raw` is known, text in quotes, at most 60 characters."""
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None and not raw:
        return "nothing"
    text = repr(value) if raw is None or isinstance(value, str) else raw
    return text if len(text) <= 60 else text[:57] + "..."


def _without_tags(error: PydanticError, value: Any, outline: Outline | None) -> KeyPath:
    path: KeyPath = ()
    tag_may_follow = True
    for key in error["loc"]:
        is_choice = outline is not None and len(outline.components) > 1
        if is_choice and tag_may_follow and step(value, "name") == key:
            tag_may_follow = False
            continue
        is_missing = error["type"] == "missing" and key == error["loc"][-1]
        if isinstance(value, Mapping) and (key in value or is_missing):
            path = (*path, key)
        elif isinstance(value, list) and isinstance(key, int):
            if key >= len(value):
                break
            path = (*path, key)
        else:
            continue
        outline = outline.child(key, value) if outline else None
        value = step(value, key)
        tag_may_follow = True
    return path


def _what(path: KeyPath, error: PydanticError, document: Document, root: Outline) -> str:
    outline = root.find(path, document.values)
    value = reduce(step, path, document.values)
    as_shown = received(value, document.raw.get(path))
    expected = outline.expected() if outline else ""
    kind = error["type"]
    if kind == "extra_forbidden":
        new_name = _new_name(path, document, root)
        return f"was renamed to '{new_name}'" if new_name else "unknown key" + _key_hint(path, document, root)
    if kind == "missing" and path not in document.origins:
        return "missing key" + (f", expected {expected}" if expected else "")
    if kind == "union_tag_invalid" and outline:
        name = step(value, "name")
        return f"unknown name {received(name)}, {hint(str(name), outline.components)}"
    if kind in ("value_error", "assertion_error"):
        return str(error["ctx"]["error"]).rstrip(".")
    if not expected:
        message = str(error["msg"])
        return f"{message[:1].lower()}{message[1:]}, received {as_shown}"
    if kind == "finite_number":
        expected = expected.replace("a number", "a finite number", 1)
    return f"expected {expected}, received {as_shown}{_choice_hint(value, outline)}"


def _new_name(path: KeyPath, document: Document, root: Outline) -> str | None:
    """Returns the new name of an option that was renamed; None if no option had this name."""
    around = root.find(path[:-1], document.values)
    value = reduce(step, path[:-1], document.values)
    return around.new_name(str(path[-1]), value) if around else None


def _key_hint(path: KeyPath, document: Document, root: Outline) -> str:
    key = str(path[-1])
    for section in root.keys(document.values):
        outline = root.child(section, document.values)
        known = outline.keys(document.values.get(section)) if outline else []
        if (section,) != path[:-1] and key in known:
            return f", did you mean '{section}.{key}'?"
    around = root.find(path[:-1], document.values)
    known = around.keys(reduce(step, path[:-1], document.values)) if around else []
    return f", {hint(key, known)}"


def _choice_hint(value: Any, outline: Outline | None) -> str:
    choices = [choice for choice in outline.choices() if isinstance(choice, str)] if outline else []
    near = nearest(value, choices) if isinstance(value, str) else None
    return f"; did you mean '{near}'?" if near else ""
