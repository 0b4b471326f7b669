"""Paths in configs: those in a file are relative to its folder, those of `--set` to the current folder.

A recipe of attnzoo itself has no data beside it: its paths are relative to the current folder. So are those
in the `config.yaml` of a run, to the folder that was the current one when it was trained: `run.json` says
where that is from the run. If it is not one of the folders around the run, the run has absolute paths.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnzoo import catalog
from attnzoo.config import paths
from attnzoo.config.source import KeyPath
from attnzoo.errors import UserError
from attnzoo.files import read_json

if TYPE_CHECKING:
    from attnzoo.config.resolve import RunConfig

BASE = "base"
"""Key of `run.json`: the folder around a run that its paths are relative to, such as `../..`."""
_INIT_FROM = ("train", "init_from")


def map_paths(config: RunConfig, change: Callable[[KeyPath, str], str]) -> RunConfig:
    """Returns a config with each relative path replaced by what `change` returns for its key and itself."""

    def changed(key: KeyPath, value: Any) -> Any:
        if isinstance(value, list):
            return [changed((*key, number), item) for number, item in enumerate(value)]
        is_path = isinstance(value, str) and (key == _INIT_FROM or config.data.is_path(str(key[1]), value))
        return change(key, value) if is_path and is_relative(value) else value

    old = dict(config.data)
    new = {key: changed(("data", key), value) for key, value in old.items()}
    data = {key: value for key, value in new.items() if value != old[key]}
    train = {"init_from": changed(_INIT_FROM, config.train.init_from)}
    return dataclasses.replace(
        config, data=config.data.model_copy(update=data), train=config.train.model_copy(update=train)
    )


def is_relative(path: str) -> bool:
    """Whether a path depends on a folder; `~/data` and addresses such as `gs://bucket` do not."""
    return bool(path) and not os.path.isabs(path) and not path.startswith("~") and "://" not in path


def holds_paths(config: RunConfig, key: str) -> bool:
    """Whether the value of a key such as `data.train` is a path or a list of paths."""
    section, _, option = key.partition(".")
    return section == "data" and any(
        config.data.is_path(option, text) for text in _texts(config.values()["data"].get(option))
    )


def absolute(config: RunConfig) -> RunConfig:
    """Returns a config whose paths do not depend on the current folder."""
    return map_paths(config, lambda _, path: os.path.normpath(paths.join(os.getcwd(), path)))


def in_folder(config: RunConfig, folder: Path, is_override: Callable[[KeyPath], bool]) -> RunConfig:
    """Returns a config whose paths, read from a file, are taken as relative to a folder.

    Args:
        config: options as the file and `--set` have them.
        folder: where the paths of the file start.
        is_override: whether the value of a key is from `--set`.
    """
    if folder == Path():
        return config
    return map_paths(config, lambda key, path: path if is_override(key) else paths.join(str(folder), path))


def in_run(config: RunConfig, run: Path) -> RunConfig:
    """Returns the config of a run with its paths as they are where the run is now.

    A path is relative to the folder that `run.json` names or, if it names none, to the current one.
    """
    base = base_of_run(run)
    if base is None:
        return config
    folder = os.path.normpath(run / base)
    return map_paths(config, lambda _, path: os.path.normpath(paths.join(folder, path)))


def base_of_run(run: Path) -> str | None:
    """Returns what `run.json` says as `BASE`; None if it says nothing that is a folder around the run."""
    try:
        base = read_json(run / "run.json").get(BASE)
    except UserError:
        return None
    return base if isinstance(base, str) and re.fullmatch(r"\.\.(/\.\.)*|\.", base) else None


def base_for_run(run: Path) -> str | None:
    """Returns the current folder as `BASE` of a run, or None if it is no folder around it."""
    base = os.path.relpath(Path.cwd(), run.absolute())
    return base if re.fullmatch(r"\.\.(/\.\.)*|\.", base) else None


def folder_of(file: Path) -> Path:
    """Returns the folder that the paths in a config file are relative to."""
    if catalog.is_shipped(file):
        return Path()
    if file.name == "config.yaml" and (file.parent / "run.json").is_file():
        base = base_of_run(file.parent)
        return Path() if base is None else Path(os.path.normpath(file.parent / base))
    return file.parent


def misplaced(
    config: RunConfig, folder: Path, is_override: Callable[[KeyPath], bool]
) -> list[tuple[KeyPath, str]]:
    """Returns the paths that are not there beside their config but in the current folder, and what to do."""
    found: list[tuple[KeyPath, str]] = []

    def look(key: KeyPath, path: str) -> str:
        beside = paths.join(str(folder), path)
        if not is_override(key) and _exists(path) and not _exists(beside):
            fix = os.path.relpath(path, folder)
            found.append(
                (key, f"{beside} not found: paths are relative to the folder of the config; write {fix}")
            )
        return path

    if folder != Path():
        map_paths(config, look)
    return found


def _exists(path: str) -> bool:
    """Whether a file is there, or one that matches a pattern."""
    return any(map(os.path.exists, paths.matching(path)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
