"""Explanations of config keys: of one on the command line, of all in the README.md of this folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from attnzoo.config.keys import REQUIRED, Group, Key, Place, places
from attnzoo.errors import UserError
from attnzoo.suggest import nearest

Rows = list[tuple[str, str, str, str]]
"""For each key: the key, the owners, the default, the description."""

_HEAD = """\
# Every key of a config

<!-- Made from the descriptions beside the options: attnzoo config explain > attnzoo/config/README.md -->

A config is a YAML file with the sections `data`, `model`, `train` and `eval`; `attnzoo list configs` shows
recipes. `--set train.epochs=3` changes a key for one command. `attnzoo config explain KEY` says what this
page says of a key, and `attnzoo config show FILE` what its value is in a file.

Paths are relative to the folder of the config file; in `--set`, and in a recipe of attnzoo itself, to the
current folder.

A mapping with a `name` has the keys of what is named: `attention: {name: local, window: 7}`. Where all of
them keep their defaults the name alone is enough: `attention: local`. `data.augment` and `model.stages` are
lists; the keys under them are those of one item.
"""


def explain(asked: str) -> Iterator[str | Rows]:
    """Yields the explanation of a key, a section or a name: texts, and tables of keys.

    Args:
        asked: `train.schedule`, `schedule`, `train`, `multi_head`, `multi_head.num_heads` ...

    Raises:
        UserError: there is nothing of that name; suggests a similar one.
    """
    exact = [(place, key) for place, key in _all_keys() if asked in _paths(key)]
    by_name = [place for place in places() if asked in _names_of_owners(place)]
    inside = [place for place in places() if place.path == asked]
    if not (exact or by_name or inside):
        exact = [
            (place, key)
            for place, key in _all_keys()
            if any(path.endswith(f".{asked}") for path in _paths(key))
        ]
    if not (exact or by_name or inside):
        raise UserError(f"unknown key '{asked}', {_advice(asked)}")
    for place, key in _merged(exact):
        yield "\n".join(_block(place, key))
    for place in inside:
        yield from _inside(place)
    for place in by_name:
        owner = asked.rpartition(".")[-1]
        yield f"{place.kind} {owner} ({place.path}): {place.owners[owner]}"
        rows = _rows(place, [key for group in place.groups for key in group.keys if owner in key.owners])
        if rows:
            yield rows


def page() -> str:
    """Returns a Markdown page with all keys, in the order of the sections."""
    parts = [_HEAD]
    for place in places():
        parts.append(f"## `{place.path}`\n" if place.path else "## At the top\n")
        if place.kind and place.kind != "task":
            lines = [f"| `{owner}` | {_cell(line)} |" for owner, line in place.owners.items()]
            parts.append("\n".join([f"| {place.kind} | what it is |", "|---|---|", *lines, ""]))
        for group in place.groups:
            if place.kind:
                parts.append(f"### {_title(place, group)}\n")
            lines = [
                f"| `{key.path}` | {_cell(key.expected)} | {_default_cell(key)} | "
                f"{_cell(key.description + _notes(group, key))} |"
                for key in group.keys
            ]
            head = ["| key | value | default | what it is |", "|---|---|---|---|"]
            parts.append("\n".join([*head, *lines, ""]))
    return "\n".join(parts)


def _all_keys() -> list[tuple[Place, Key]]:
    return [(place, key) for place in places() for group in place.groups for key in group.keys]


def _merged(entries: list[tuple[Place, Key]]) -> list[tuple[Place, Key]]:
    """Merges keys that differ only in their owners."""
    owners: dict[tuple[str, Key], list[str]] = {}
    for place, key in entries:
        owners.setdefault((place.path, dataclasses.replace(key, owners=())), []).extend(key.owners)
    by_path = {place.path: place for place, _ in entries}
    return [
        (by_path[path], dataclasses.replace(key, owners=tuple(names)))
        for (path, key), names in owners.items()
    ]


def _paths(key: Key) -> list[str]:
    """Returns the paths of a key in queries: its path, the paths with its owners' names, and former names."""
    place, _, last = key.path.rpartition(".")
    return [key.path, *(f"{place}.{owner}.{last}" for owner in key.owners), *key.old_names]


def _names_of_owners(place: Place) -> list[str]:
    """Returns the names of the owners in queries: their bare names, and those below the path."""
    owners = [owner for owner in place.owners if owner]
    return [*owners, *(f"{place.path}.{owner}" for owner in owners)]


def _advice(asked: str) -> str:
    keys = [path for _, key in _all_keys() for path in _paths(key)]
    known = dict.fromkeys([*keys, *(place.path for place in places())])
    if "." not in asked:
        names = [owner for place in places() for owner in place.owners if owner]
        known = dict.fromkeys([*names, *(path.rpartition(".")[-1] for path in known if path)])
    near = nearest(asked, known)
    return f"did you mean '{near}'?" if near else "see `attnzoo config explain` for all of them"


def _block(place: Place, key: Key) -> Iterator[str]:
    yield key.path
    yield f"  {key.description}"
    if key.expected:
        yield f"  value    {key.expected}"
    yield f"  default  {key.default}"
    if key.effect_if:
        yield f"  effect   if {key.effect_if}"
    if place.kind:
        yield f"  for      {_whose(place, key.owners)}"
    if key.old_names:
        yield f"  was      {', '.join(key.old_names)}"


def _inside(place: Place) -> Iterator[str | Rows]:
    if place.kind and place.kind != "task":
        yield f"{place.path}: one {place.kind} of {', '.join(place.owners)}"
    rows = _rows(place, [key for group in place.groups for key in group.keys])
    if rows:
        yield rows


def _rows(place: Place, keys: Sequence[Key]) -> Rows:
    return [(key.path, _whose(place, key.owners), key.default, key.description) for key in keys]


def _whose(place: Place, owners: tuple[str, ...]) -> str:
    if not place.kind:
        return ""
    return f"every {place.kind}" if len(owners) == len(place.owners) else ", ".join(owners)


def _title(place: Place, group: Group) -> str:
    if len(group.owners) == len(place.owners):
        return f"Every {place.kind}"
    return ", ".join(f"`{owner}`" for owner in group.owners)


def _notes(group: Group, key: Key) -> str:
    others = ", ".join(f"`{owner}`" for owner in group.owners if owner not in key.owners)
    effect = f" Has an effect if {key.effect_if}." if key.effect_if else ""
    return effect + (f" (See below for {others}.)" if others else "")


def _default_cell(key: Key) -> str:
    return key.default if key.default == REQUIRED else f"`{key.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
