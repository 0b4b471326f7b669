"""All keys that a config can have, grouped by their owners, derived from the classes of the options."""

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
"""Key whose value is chosen by name -> the kind of the choices."""

REQUIRED = "required"
"""The "default" of a key without a default."""
_AT_THE_TOP = {
    ".name": ("text", "name of the file"),
    **{f".{section}": ("a mapping with a name", REQUIRED) for section in NAMED_SECTIONS},
    ".train": ("a mapping", "{}"),
    ".eval": ("a mapping", "{}"),
}
"""Top-level key -> valid values and default, which the class of all configs lacks."""

Owners = dict[str, type[BaseModel]]
"""Name of a data set, model, task or mechanism -> the class of its options."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes:
        path: path as in `--set`: `model.attention.num_heads`.
        owners: names of the data sets, models, tasks or mechanisms that have the key; empty if they are
            unnamed.
        expected: valid values, in words.
        default: default in YAML; "required" if there is none.
        description: purpose of the key.
        old_names: former paths.
        effect_if: condition under which it has an effect, in words; empty for always.
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
    """Keys from the same class of options.

    Attributes:
        owners: names of the owners that have at least one of the keys.
        keys: the keys.
    """

    owners: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclasses.dataclass(frozen=True)
class Place:
    """A mapping of a config.

    Attributes:
        path: `train`, `model.attention`; empty for the top level.
        kind: kind of its owners, such as "data set"; empty if they are unnamed.
        owners: name of each owner -> one-line description.
        groups: groups of keys, those with the most owners first.
    """

    path: str
    kind: str
    owners: Mapping[str, str]
    groups: tuple[Group, ...]


@lru_cache
def places() -> tuple[Place, ...]:
    """Returns all mappings that a config can have, each before the mappings inside it."""
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
    places = [_place("", "", {"": root_class(None, None)})]
    for section, kind, owners in sections:
        places += _with_inner_places(section, kind, owners)
    return tuple(places)


def _with_inner_places(path: str, kind: str, owners: Owners) -> Iterator[Place]:
    yield _place(path, kind, owners)
    inner: dict[str, Owners] = {}
    for options in owners.values():
        for key, field in options.model_fields.items():
            for component in _components(field.annotation):
                inner.setdefault(f"{path}.{key}", {})[_name_of(component)] = component
    for inner_path, components in inner.items():
        # Components inside components are left out: the attention of a stage is that of the model.
        yield _place(inner_path, NAMES_OF.get(inner_path, ""), components)


def _components(annotation: Any) -> Iterator[type[Section]]:
    """Yields the classes of options in a type annotation."""
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
    """Returns the description of an owner: of its key `name`, or of its file."""
    name = options.model_fields.get("name")
    if name and name.description and owner:
        return name.description
    kinds = {word: kind for kind, word in catalog.KINDS.items()}
    return dict(catalog.describe(kinds[kind])).get(owner, "") if kind in kinds else ""


def _written(default: Any) -> str:
    """Formats a default as in YAML; of a component its name."""
    if isinstance(default, Mapping) and "name" in default:
        return str(default["name"])
    return default if isinstance(default, str) else json.dumps(default)
