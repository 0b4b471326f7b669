"""Checks a parsed config against the options of its data set, its model and the trainer."""

from __future__ import annotations

import json
from functools import lru_cache, reduce
from types import ModuleType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError, create_model

from attnzoo import catalog
from attnzoo.config.conflicts import add_conflicts
from attnzoo.config.outline import Outline, step
from attnzoo.config.overrides import OldNames
from attnzoo.config.problems import (
    Problems,
    add_missing_name,
    add_pydantic_errors,
    errors_by_path,
    received,
)
from attnzoo.config.sections import EvalOptions, Section, TrainOptions
from attnzoo.config.source import Document, KeyPath
from attnzoo.suggest import hint

NAMED_SECTIONS = {"data": "datasets", "model": "models"}
"""Section whose options depend on its `name` -> kind of that name in the catalog."""


def _check_run_name(name: str) -> str:
    if not 0 < len(name) <= 200 or name[0] == "." or set(name) & set("/\\") or not name.isprintable():
        raise ValueError(f"expected a name that can name a folder, 1 to 200 characters, received {name!r}")
    return name


RunName = Annotated[str, AfterValidator(_check_run_name)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def check(document: Document, default_name: str, old_names: OldNames, problems: Problems) -> Any:
    """Returns the typed options: an object with `name`, `seed`, `data`, `model`, `train` and `eval`.

    `document` is normalized in place: a bare name of a component becomes a mapping, an empty section becomes
    an empty mapping, and keys that a component named by `--set` does not have are removed.

    Args:
        document: parsed config with overrides applied.
        default_name: name of the run if the config has none.
        old_names: components of which only the name was overridden.
        problems: collects errors.

    Raises:
        ConfigErrors: all errors, one line each.
    """
    for section in ("data", "model", "train", "eval"):
        if section in document.values and document.values[section] is None:
            document.values[section] = {}
    modules = {section: _load(section, document, problems) for section in NAMED_SECTIONS}
    data, model = (module and module.Config for module in modules.values())
    task = catalog.load_class("tasks", modules["model"].TASK)() if modules["model"] else None
    root = root_class(data, model, task and task.TrainOptions, task and task.EvalOptions, default_name)
    outline = _outline(root)
    _drop_foreign_keys(document, outline, old_names)
    _complete_components(document, (), outline)
    _take_keys_of_other_tasks(task, document, problems)
    options = _validate(root, document, outline, problems)
    if task is not None and modules["data"] is not None:
        _check_columns(modules["data"], task, document, problems)
        if options is not None:
            add_conflicts(task, options, document, problems)
    problems.raise_if_any()
    return options


@lru_cache
def root_class(
    data: Any, model: Any, train: Any = None, evaluation: Any = None, default_name: str = "run"
) -> type[BaseModel]:
    """Returns the pydantic model of a whole config.

    Args:
        data: type of section `data`; None if it is unknown, which allows any value.
        model: type of section `model`; None likewise.
        train: type of section `train`, with the options of a task; None for those that all tasks share.
        evaluation: type of section `eval`; None likewise.
        default_name: default of key `name`.
    """
    train, evaluation = train or TrainOptions, evaluation or EvalOptions
    fields: dict[str, Any] = {
        "name": (RunName, Field(default_name, description="Name of the run. Default: the file's name.")),
        "seed": (Seed, Field(0, description="Start of all randomness: weights, order of examples, dropout.")),
        "data": (data or Any, Field(... if data else None, description="Data set and its options.")),
        "model": (model or Any, Field(... if model else None, description="Model and its options.")),
        "train": (train, Field(train(), description="How the model is trained.")),
        "eval": (evaluation, Field(evaluation(), description="How the model is evaluated.")),
    }
    return create_model("Run", __base__=Section, **fields)


@lru_cache
def _outline(options: type[BaseModel]) -> Outline:
    return Outline.of(options.model_json_schema())


def _load(section: str, document: Document, problems: Problems) -> ModuleType | None:
    """Returns the module that the name of a section refers to; if there is none, None and adds an error."""
    kind = NAMED_SECTIONS[section]
    known = catalog.names(kind)
    if section not in document.values:
        what = f"missing section, expected a mapping with a name, one of {', '.join(known)}"
        problems.add(document.origin_near(()), (section,), what)
        return None
    value = document.values[section]
    if isinstance(value, str):
        _name_to_mapping(document, (section,))
        value = document.values[section]
    path: KeyPath = (section, "name")
    if not isinstance(value, dict):
        what = f"expected a mapping with a name, received {received(value, document.raw.get((section,)))}"
        problems.add(document.origin_near((section,)), (section,), what)
        return None
    if "name" not in value:
        add_missing_name(problems, document, (section,), known)
        return None
    name = value["name"]
    if name not in known:
        what = f"unknown {catalog.KINDS[kind]} {received(name, document.raw.get(path))}, "
        problems.add(document.origin_near(path), path, what + hint(str(name), known))
        return None
    return catalog.load(kind, name)


def _name_to_mapping(document: Document, path: KeyPath) -> None:
    reduce(step, path[:-1], document.values)[path[-1]] = {"name": reduce(step, path, document.values)}
    name_path = (*path, "name")
    if path in document.origins:
        document.origins[name_path] = document.origins[path]
    if path in document.raw:
        document.raw[name_path] = document.raw[path]


def _drop_foreign_keys(document: Document, outline: Outline, old_names: OldNames) -> None:
    """Removes keys that belong to the component named in the file and not to the one named by `--set`."""
    for path, old_name in old_names.items():
        value = reduce(step, path, document.values)
        around = outline.find(path, document.values)
        if not isinstance(value, dict) or around is None:
            continue
        old_name = old_name or around.default_name
        if len(path) == 1 and path[0] in NAMED_SECTIONS:
            old = _outline_of(NAMED_SECTIONS[str(path[0])], old_name)
        else:
            old = around.components.get(str(old_name))
        old_keys = old.keys({"name": old_name}) if old else []
        new_keys = around.keys(value)
        for key in set(old_keys) & value.keys() - set(new_keys):
            key_path = (*path, key)
            if new_keys and not document.origin_near(key_path).is_override:
                del value[key]
                document.forget(key_path)


def _outline_of(kind: str, name: str | None) -> Outline | None:
    if name not in catalog.names(kind):
        return None
    return _outline(catalog.load(kind, str(name)).Config)


def _complete_components(document: Document, path: KeyPath, outline: Outline) -> None:
    """Expands bare names of components: `additive` becomes `{name: additive}`.

    A component with options only from `--set` keeps its default name.
    """
    value = reduce(step, path, document.values)
    if isinstance(value, str) and outline.components:
        _name_to_mapping(document, path)
    if not isinstance(value, dict | list):
        return
    name = outline.default_name
    if isinstance(value, dict) and "name" not in value and name and document.origin_near(path).is_override:
        value["name"] = name
    for key in value if isinstance(value, dict) else range(len(value)):
        child = outline.child(key, value)
        if child is not None:
            _complete_components(document, (*path, key), child)


def _validate(root: type[BaseModel], document: Document, outline: Outline, problems: Problems) -> Any:
    """Returns the typed options; if they are invalid, adds errors and returns None.

    The values are validated as JSON, where a list may become a tuple and text a path in strict mode.
    """
    for is_first in (True, False):
        try:
            return root.model_validate_json(json.dumps(document.values))
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if is_first and not _take_typed_text(document, outline, errors):
            break
    add_pydantic_errors(problems, errors, document, outline)
    return None


def _take_typed_text(document: Document, outline: Outline, errors: list[Any]) -> bool:
    """Converts an unquoted `1`, `true` or `null` back to text where text is expected."""
    any_taken = False
    for path in errors_by_path(errors, document, outline):
        text, place = document.raw.get(path), outline.find(path, document.values)
        holds_text = isinstance(reduce(step, path, document.values), str)
        if text and place and place.takes_text(text) and not holds_text:
            reduce(step, path[:-1], document.values)[path[-1]] = text
            any_taken = True
    return any_taken


def _take_keys_of_other_tasks(task: Any, document: Document, problems: Problems) -> None:
    """Removes keys of other tasks from `train` and `eval`, and adds an error for each.

    If the task is unknown (None), keys of any task are removed without an error.
    """
    for section, options, of_all in (
        ("train", "TrainOptions", TrainOptions),
        ("eval", "EvalOptions", EvalOptions),
    ):
        own = (of_all if task is None else getattr(task, options)).model_fields
        values = document.values.get(section)
        for key in list(values) if isinstance(values, dict) else ():
            owners = [] if key in own else owners_of(key, options)
            if owners and task is None:
                del values[key]
            elif owners:
                path: KeyPath = (section, key)
                what = f"an option of {', '.join(owners)}, and this model is for {task.name}; leave it out"
                problems.add(document.origin_near(path), path, what)
                del values[key]


def owners_of(key: str, options: str) -> list[str]:
    """Returns the tasks that have an option.

    Args:
        key: of the option.
        options: "TrainOptions" or "EvalOptions".
    """
    tasks = (catalog.load_class("tasks", name) for name in catalog.names("tasks"))
    return [task.name for task in tasks if key in getattr(task, options).model_fields]


def fits(data: ModuleType, task: Any) -> bool:
    """Returns whether a data set has all columns of a task, with suitable kinds."""
    return all(
        feature.is_optional or (name in data.COLUMNS and _is_one_of(feature.kind, data.COLUMNS[name]))
        for name, feature in task.features.items()
    )


def _is_one_of(kind: str, kinds: tuple[str, ...] | None) -> bool:
    return kinds is None or kind in kinds


def _check_columns(data: ModuleType, task: Any, document: Document, problems: Problems) -> None:
    if fits(data, task):
        return
    every = [catalog.load_class("tasks", name) for name in catalog.names("tasks")]
    tasks = [other.name for other in every if fits(data, other)]
    models = [name for name in catalog.names("models") if catalog.load("models", name).TASK in tasks]
    datasets = [name for name in catalog.names("datasets") if fits(catalog.load("datasets", name), task)]
    path: KeyPath = ("model", "name")
    model_name, data_name = (document.values[section]["name"] for section in ("model", "data"))
    what = (
        f"'{model_name}' is for {task.name} and data '{data_name}' for {' and '.join(tasks) or 'no task'}"
        f"{_same_files(data, datasets, task)}; "
        f"models that fit: {', '.join(models) or 'none'}; data sets that fit: {', '.join(datasets) or 'none'}"
    )
    problems.add(document.origin_near(path), path, what)


def _same_files(data: ModuleType, datasets: list[str], task: Any) -> str:
    """Returns advice to use the data set for a task that reads the same files, or an empty string."""
    suffixes = data.Config.suffixes
    for name in datasets if suffixes else ():
        if catalog.load("datasets", name).Config.suffixes == suffixes:
            needed = [column for column, feature in task.features.items() if not feature.is_optional]
            keys = " and ".join(f"data.{column}" for column in needed)
            return f"; to read such files for it use data.name: {name} with {keys}"
    return ""
