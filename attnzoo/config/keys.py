"""Every key that a config can have, in groups of those that have it, read from the classes of the options."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from attnzoo import catalog
from attnzoo.config.checking import NAMED_SECTIONS, root_class
from attnzoo.config.outline import Outline
from attnzoo.config.sections import Section

NAMES_OF = {"model.attention": "attention mechanism", "data.augment": "image change"}
"""Key whose value is chosen by name -> what one of the choices is called."""

REQUIRED = "required"
"""Stands for the default of a key that a config has to give."""
_AT_THE_TOP = {
    ".name": ("text", "name of the file"),
    **{f".{section}": ("a mapping with a name", REQUIRED) for section in NAMED_SECTIONS},
    ".train": ("a mapping", "{}"),
    ".eval": ("a mapping", "{}"),
}
"""Key at the top -> what may stand there, default: what the class of all configs does not say."""

Owners = dict[str, type[BaseModel]]
"""Name of a data set, a model, a task, a mechanism -> the class of its options."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes:
        path: as in `--set`: `model.attention.num_heads`.
        owners: the names of what has the key: data sets, models, tasks, mechanisms; empty where they have
            none.
        expected: what may stand there, in words.
        default: as one writes it in YAML; "required" where there is none.
        description: what it is for.
        old_names: paths that it had before.
        effect_if: when it has an effect, in words; empty for always.
    """

    path: str
    owners: tuple[str, ...]
    expected: str
    default: str
    description: str
    old_names: tuple[str, ...] = ()
    effect_if: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """Keys that come from the same options.

    Attributes:
        owners: the names of what has at least one of them.
        keys: the keys.
    """

    owners: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclasses.dataclass(frozen=True)
class Place:
    """A mapping of a config.

    Attributes:
        path: `train`, `model.attention`; empty at the top.
        kind: what its owners are, such as "data set"; empty where they have no names.
        owners: name of each -> what it is, in a line.
        groups: its keys, those that the most owners have first.
    """

    path: str
    kind: str
    owners: Mapping[str, str]
    groups: tuple[Group, ...]


@lru_cache
def places() -> tuple[Place, ...]:
    """Returns every mapping that a config can have, each before those that stand in it."""
    tasks = {name: catalog.load_class("tasks", name) for name in catalog.names("tasks")}
    sections: list[tuple[str, str, Owners]] = [
        (
            section,
            catalog.KINDS[kind],
            {name: catalog.load(kind, name).Config for name in catalog.names(kind)},
        )
        for section, kind in NAMED_SECTIONS.items()
    ]
    sections.append(("train", "task", {name: task.TrainOptions for name, task in tasks.items()}))
    sections.append(("eval", "task", {name: task.EvalOptions for name, task in tasks.items()}))
    found = [_place("", "", {"": root_class(None, None)})]
    for section, kind, owners in sections:
        found += _with_inner_places(section, kind, owners)
    return tuple(found)


def _with_inner_places(path: str, kind: str, owners: Owners) -> Iterator[Place]:
    yield _place(path, kind, owners)
    inner: dict[str, Owners] = {}
    for options in owners.values():
        for key, field in options.model_fields.items():
            for component in _components(field.annotation):
                inner.setdefault(f"{path}.{key}", {})[_name_of(component)] = component
    for inner_path, components in inner.items():
        # What stands in a component is not gone into: a stage of a model has attention, as the model has.
        yield _place(inner_path, NAMES_OF.get(inner_path, ""), components)


def _components(annotation: Any) -> Iterator[type[Section]]:
    """Yields the classes of options that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _components(part)


def _name_of(component: type[BaseModel]) -> str:
    name = component.model_fields.get("name")
    return name.default if name else ""


def _place(path: str, kind: str, owners: Owners) -> Place:
    by_class: dict[type, dict[str, list[str]]] = {}  # class that defines -> key -> owners
    for owner, options in owners.items():
        for key in options.model_fields:
            if not (owner and key == "name"):
                by_class.setdefault(_defining(options, key), {}).setdefault(key, []).append(owner)
    groups: dict[tuple[str, ...], list[Key]] = {}
    for by_key in by_class.values():
        in_group = [owner for owner in owners if any(owner in having for having in by_key.values())]
        described = [_key(path, key, having, owners[having[0]]) for key, having in by_key.items()]
        groups.setdefault(_names(in_group), []).extend(described)
    most_owners_first = sorted(groups.items(), key=lambda group: -len(group[0]))
    return Place(
        path,
        kind,
        {owner: _line_of(kind, owner, options) for owner, options in owners.items()},
        tuple(Group(names, tuple(keys)) for names, keys in most_owners_first),
    )


def _names(owners: list[str]) -> tuple[str, ...]:
    return tuple(owner for owner in owners if owner)


def _defining(options: type[BaseModel], key: str) -> type:
    return next(base for base in options.__mro__ if key in vars(base).get("__annotations__", {}))


def _key(place: str, key: str, owners: list[str], options: type[BaseModel]) -> Key:
    field = options.model_fields[key]
    expected, default = _AT_THE_TOP.get(f"{place}.{key}", ("", ""))
    outline = _outline(options).child(key, {})
    assert outline is not None
    if not default:
        expected = outline.expected()
        default = REQUIRED if field.is_required() else _written(outline.schema.get("default"))
    return Key(
        f"{place}.{key}" if place else key,
        _names(owners),
        expected,
        default,
        field.description or "",
        tuple(f"{place}.{name}" for name in outline.schema.get("renamed_from", ())),
        outline.schema.get("x-effect-if", ""),
    )


@lru_cache
def _outline(options: type[BaseModel]) -> Outline:
    return Outline.of(options.model_json_schema())


def _line_of(kind: str, owner: str, options: type[BaseModel]) -> str:
    """Returns what an owner is: as its key `name` says, or its file."""
    name = options.model_fields.get("name")
    if name and name.description and owner:
        return name.description
    kinds = {word: kind for kind, word in catalog.KINDS.items()}
    return dict(catalog.describe(kinds[kind])).get(owner, "") if kind in kinds else ""


def _written(default: Any) -> str:
    """Returns a default as one writes it in YAML; of a component its name."""
    if isinstance(default, Mapping) and "name" in default:
        return str(default["name"])
    return default if isinstance(default, str) else json.dumps(default)
