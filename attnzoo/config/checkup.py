"""Checks of a valid config against this machine: options without effect, missing packages and data files.

They do not apply to the config of a finished run, which was checked where it was trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attnzoo import catalog
from attnzoo.config.base import EffectIf, Problem, Section, within
from attnzoo.config.problems import Problems, dotted
from attnzoo.config.resolve import ResolvedConfig
from attnzoo.config.sections import ModelOptions
from attnzoo.config.source import KeyPath, Origin
from attnzoo.errors import UserError
from attnzoo.suggest import nearest

SECTIONS = ("data", "model", "train", "eval")


def require_installed(resolved: ResolvedConfig) -> None:
    """Refuses options that need what is not installed on this machine.

    Raises:
        ConfigErrors: one line each.
    """
    problems = Problems()
    for path, what in _task_of(resolved).machine_problems(resolved.config):
        problems.add(_origin_near(resolved, path), path, what)
    problems.raise_if_any()


def check_files(resolved: ResolvedConfig) -> list[str]:
    """Checks that the data files exist and begin with what the task needs, such as its columns.

    Returns:
        A line if none of the files exists yet, and one if the run to start from does not.

    Raises:
        ConfigErrors: a file is not usable, or some files exist and others do not; one line each.
    """
    data, features = resolved.config.data, _task_of(resolved).features
    lines = [
        f"{_origin_near(resolved, path).label}: {dotted(path)}: {what}" for path, what in _initial(resolved)
    ]
    files = [(("data", *key), file) for key, file in data.files()]
    missing = [(path, file) for path, file in files if not os.path.exists(file)]
    if files and len(missing) == len(files):
        names = ", ".join(dict.fromkeys(file for _, file in files))
        where = _origin_near(resolved, files[0][0]).label
        return [*lines, f"{where}: data not found yet: {names} (looked for in {Path.cwd()})"]
    problems = Problems()
    for path, file in files:
        what = _not_there(file) if (path, file) in missing else _wrong(data, file, features)
        if what is not None:
            problems.add(_origin_near(resolved, path), path, what)
    problems.raise_if_any()
    return lines


def _initial(resolved: ResolvedConfig) -> Iterator[Problem]:
    folder = resolved.config.train.init_from
    if folder is not None and not Path(folder).is_dir():
        yield (
            ("train", "init_from"),
            f"{folder} was not found yet (looked for in {Path.cwd()}); train it first",
        )


def _not_there(file: str) -> str:
    folder = Path(file).parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = nearest(Path(file).name, names)
    hint = f"did you mean '{folder / near}'?" if near else "put it there, or name another one"
    return f"{file}: not found (looked for in {Path.cwd()}); {hint}"


def _wrong(data: Any, file: str, features: Mapping[str, Any]) -> str | None:
    try:
        data.check_file(file, features)
    except UserError as error:
        return str(error).rstrip(".")
    return None


def notes(resolved: ResolvedConfig) -> list[str]:
    """Returns a line for each option that the file or `--set` sets without effect in this config.

    If all options of a group are set, as in the output of `attnzoo config show`, those with their default
    value are skipped.
    """
    lines = []
    for path, why in dict(_without_effect(resolved)).items():
        if path in resolved.origins and not _is_default_in_full_listing(resolved, path):
            origin = resolved.origins[path]
            lines.append((origin.order, f"{origin.label}: {dotted(path)}: has no effect {why}; remove it"))
    return [line for _, line in sorted(lines)]


def _without_effect(resolved: ResolvedConfig) -> Iterator[Problem]:
    config = resolved.config
    task = _task_of(resolved)
    reasons = [*task.unused(config), *within(("data",), config.data.unused(task.features))]
    if isinstance(config.model, ModelOptions):
        reasons += within(("model",), config.model.unused())
    yield from ((path, f"as {why}") for path, why in reasons)
    for section in SECTIONS:
        for path, options in _groups((section,), getattr(config, section)):
            for key, field in type(options).model_fields.items():
                conditions = [one for one in field.metadata if isinstance(one, EffectIf)]
                for condition in conditions:
                    if not condition.holds(options):
                        yield (*path, key), f"unless {condition.condition}"


def _groups(path: KeyPath, options: Any) -> Iterator[tuple[KeyPath, Section]]:
    """Yields all groups of options in others, with their paths."""
    if isinstance(options, Section):
        yield path, options
        for key in type(options).model_fields:
            yield from _groups((*path, key), getattr(options, key))
    elif isinstance(options, list):
        for number, item in enumerate(options):
            yield from _groups((*path, number), item)


def _is_default_in_full_listing(resolved: ResolvedConfig, path: KeyPath) -> bool:
    """Returns whether an option has its default value and all others of its group are set, too."""
    options = resolved.config
    for key in path[:-1]:
        options = options[key] if isinstance(key, int) else getattr(options, str(key))  # type: ignore[index]
    fields = type(options).model_fields  # type: ignore[attr-defined]
    if resolved.origins[path].is_override or any((*path[:-1], key) not in resolved.origins for key in fields):
        return False
    key = str(path[-1])
    return bool(getattr(options, key) == fields[key].get_default(call_default_factory=True))


def _task_of(resolved: ResolvedConfig) -> Any:
    return catalog.load_class("tasks", catalog.load("models", resolved.config.model.name).TASK)()


def _origin_near(resolved: ResolvedConfig, path: KeyPath) -> Origin:
    while path not in resolved.origins and path:
        path = path[:-1]
    return resolved.origins[path]
