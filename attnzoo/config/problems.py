"""Collects all that is wrong in a config and puts it in plain words."""

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
"""Most lines about values; a file of another kind has thousands."""


class Problems:
    """What is wrong, with where it was written."""

    def __init__(self) -> None:
        self._lines: list[tuple[tuple[int, int], str]] = []

    def add(self, origin: Origin, path: KeyPath, what: str) -> None:
        """Adds one line `FILE:LINE: path: what`."""
        place = f"{dotted(path)}: " if path else ""
        self._lines.append((origin.order, " ".join(f"{origin.label}: {place}{what}".split())))

    def add_lines(self, origin: Origin, lines: list[str]) -> None:
        """Adds lines that already say where they are from."""
        self._lines.extend((origin.order, line) for line in lines)

    def raise_if_any(self) -> None:
        """Raises all problems at once, in the order of their lines.

        Raises:
            ConfigErrors: there is at least one.
        """
        if self._lines:
            raise ConfigErrors([line for _, line in sorted(self._lines, key=lambda entry: entry[0])])


def dotted(path: KeyPath) -> str:
    """Returns a path as users write it: `train.learning_rate`."""
    return ".".join(str(key) for key in path)


def add_pydantic_errors(problems: Problems, errors: list[Any], document: Document, outline: Outline) -> None:
    """Adds what pydantic found, one line a place.

    Args:
        problems: takes the lines.
        errors: `ValidationError.errors()`.
        document: what was validated.
        outline: what may stand there.
    """
    by_path = errors_by_path(errors, document, outline)
    if len(by_path) > MAX_ERRORS:
        problems.add(document.origin_near(()), (), f"{len(by_path)} errors; the first {MAX_ERRORS} follow")
    for path, of_path in itertools.islice(by_path.items(), MAX_ERRORS):
        kind = of_path[0]["type"]
        around = outline.find(path, document.values)
        if kind == "union_tag_not_found" and around:
            add_missing_name(problems, document, path, list(around.components))
            continue
        place = (*path, "name") if kind == "union_tag_invalid" else path
        problems.add(document.origin_near(place), place, _what(path, of_path[0], document, outline))


def add_missing_name(problems: Problems, document: Document, path: KeyPath, known: list[str]) -> None:
    """Adds that the mapping at `path` lacks its `name`, or what stands there by mistake in its place."""
    near = nearest("name", reduce(step, path, document.values))
    place = (*path, near or "name")
    what = "unknown key, did you mean 'name'?" if near else f"missing key, expected one of {', '.join(known)}"
    problems.add(document.origin_near(place), place, what)


def errors_by_path(
    errors: list[Any], document: Document, outline: Outline
) -> dict[KeyPath, list[PydanticError]]:
    """Groups errors by the place they are about, without the union tags that pydantic puts into its paths.

    Where one alternative of a union failed as a whole and another one in a part of it, only the part is kept.
    """
    found: dict[KeyPath, list[PydanticError]] = {}
    for error in errors:
        found.setdefault(_without_tags(error, document.values, outline), []).append(error)
    around = {path[:length] for path in found for length in range(len(path))}
    return {path: of_path for path, of_path in found.items() if path not in around}


def received(value: Any, raw: str | None = None) -> str:
    """Returns a value as an error shows it: as typed if `raw` is known, text in quotes, 60 characters."""
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
    """Returns the key that an option has now; None if no option had this one before."""
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
