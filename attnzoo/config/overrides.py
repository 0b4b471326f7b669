"""Applies `--set section.key=value` to a parsed config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attnzoo.config.problems import Problems, dotted
from attnzoo.config.source import Document, KeyPath, Origin, parse_value
from attnzoo.errors import ConfigErrors

EPOCHS, STEPS = ("train", "epochs"), ("train", "steps")
"""Both set the length of a training; steps take precedence if both are given, as in the config of a run."""
OldNames = dict[KeyPath, str | None]
"""Component whose `name` was overridden -> its name in the file, None if the file has none."""


def apply_overrides(document: Document, overrides: Sequence[str], problems: Problems) -> OldNames:
    """Applies overrides to `document` in order; later ones take precedence.

    Values are written as in the file: `3`, `1e-3`, `[flip, shift]`, `{name: additive}`; an empty value is
    null. A mapping replaces the old value. A key below a component that is given by its bare name keeps that
    name. Epochs replace steps.

    Args:
        document: parsed file.
        overrides: arguments of `--set`.
        problems: collects errors in the overrides themselves.

    Returns:
        The components of which only `.name` was changed: keys that the new component does not have are to be
        dropped.
    """
    old_names: OldNames = {}
    for index, text in enumerate(overrides):
        origin = Origin(f"--set {' '.join(text.split())}", (1, index))
        keys, equals, value_text = text.partition("=")
        path = tuple(keys.strip().split("."))
        if not equals:
            problems.add(origin, (), "no '=', expected section.key=value such as train.epochs=3")
        elif not all(path):
            problems.add(origin, (), "a key is empty, expected section.key=value such as train.epochs=3")
        else:
            try:
                value = parse_value(value_text, origin)
                _put(document, path, value, origin, old_names)
            except ConfigErrors as error:
                problems.add_lines(origin, error.lines)
    return old_names


def _put(document: Document, path: KeyPath, value: Document, origin: Origin, old_names: OldNames) -> None:
    parent = document.values
    for depth in range(1, len(path)):
        key = path[depth - 1]
        inner = parent.get(key)
        if isinstance(inner, list):
            around = dotted(path[:depth])
            raise ConfigErrors(
                [f"{origin.label}: {around} is a list, expected {around}=[...] with all its items"]
            )
        if not isinstance(inner, dict):
            inner = _make_mapping(document, path[:depth], inner, origin)
            parent[key] = inner
        parent = inner
    _note_old_name(path, parent, old_names)
    if path == EPOCHS:
        document.forget(STEPS)
        parent.pop(STEPS[-1], None)
    document.forget(path)
    parent[path[-1]] = value.values
    document.origins.update({path + inner: origin for inner in value.origins})
    document.raw.update({path + inner: text for inner, text in value.raw.items()})


def _make_mapping(document: Document, path: KeyPath, inner: object, origin: Origin) -> dict[str, object]:
    """Replaces the value at `path` by a mapping; the bare name of a component becomes its `name`."""
    before, raw = document.origins.get(path), document.raw.get(path)
    document.forget(path)
    document.origins[path] = origin
    if not isinstance(inner, str) or before is None:
        return {}
    name_path = (*path, "name")
    document.origins[name_path] = before
    if raw is not None:
        document.raw[name_path] = raw
    return {"name": inner}


def _note_old_name(path: KeyPath, parent: Mapping[str, object], old_names: OldNames) -> None:
    component = path[:-1]
    if component and path[-1] == "name" and component not in old_names:
        name = parent.get("name")
        old_names[component] = name if isinstance(name, str) else None
    for other in [other for other in old_names if other[: len(path)] == path]:
        del old_names[other]
