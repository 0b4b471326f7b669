"""The catalog of models, data sets, tasks, features, attention mechanisms and configs.

A name in a config is the name of a file: `text_classifier` is `attnzoo/models/text_classifier.py`. Listing
names parses the files without importing them; a module is imported when it is loaded by name.
"""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from attnzoo.errors import UserError
from attnzoo.suggest import hint, nearest

KINDS = {
    "models": "model",
    "datasets": "data set",
    "attention": "attention mechanism",
    "tasks": "task",
    "features": "feature",
    "configs": "config",
}
"""Kind of component -> its name in the singular."""

_PACKAGE = Path(__file__).parent
_PACKAGES = {
    "models": "attnzoo.models",
    "datasets": "attnzoo.data.datasets",
    "attention": "attnzoo.attention",
    "tasks": "attnzoo.tasks",
    "features": "attnzoo.features",
}
_BY_CLASS = ("tasks", "features")
"""Kinds whose files define a class named after the file: `TextRegression` in `text_regression`."""


def names(kind: str) -> list[str]:
    """Returns the names of a kind, sorted.

    Args:
        kind: one of `KINDS`.

    Raises:
        ValueError: there is no such kind.

    Examples:
        >>> "text_classifier" in names("models")
        True
    """
    return sorted(_files(kind))


def describe(kind: str) -> list[tuple[str, str]]:
    """Returns (name, first line of the file's docstring or comment), sorted, without importing anything.

    Raises:
        ValueError: there is no such kind.
    """
    first_line = _first_comment if kind == "configs" else _first_docstring_line
    return [(name, first_line(path)) for name, path in sorted(_files(kind).items())]


def load(kind: str, name: str) -> ModuleType:
    """Imports and returns the module behind a name.

    Args:
        kind: one of `KINDS` except "configs".
        name: one of `names(kind)`.

    Raises:
        UserError: there is no such name; suggests a similar one.
    """
    known = names(kind)
    if name not in known:
        raise UserError(f"unknown {KINDS[kind]} '{name}'; {hint(name, known)}")
    return importlib.import_module(f"{_PACKAGES[kind]}.{name}")


def config_path(name: str) -> Path:
    """Returns the path of a recipe by its name; `configs/` in the current folder has precedence.

    Raises:
        UserError: there is no such recipe; suggests a similar one.
    """
    return _one_config(name, _files("configs"))


def shipped_config(name: str) -> Path:
    """Returns the path of a recipe in the package by its name.

    Raises:
        UserError: there is no such recipe; suggests a similar name.
    """
    return _one_config(name, _configs_in(_shipped_folder()))


def is_shipped(path: Path) -> bool:
    """Returns whether a config file is a recipe of attnzoo itself."""
    return path.resolve().parent == _shipped_folder().resolve()


def describe_configs() -> list[tuple[str, str, str]]:
    """Returns (name, first line, folder) of the recipes in the current folder and in the package.

    Of two recipes with the same name, the one in the current folder, which `config_path` returns, is first.
    """
    files = [file for folder in _config_folders() for file in _configs_in(folder).values()]
    files.sort(key=lambda file: file.stem)
    return [(file.stem, _first_comment(file), str(file.parent)) for file in files]


def find_config(given: str | Path) -> Path:
    """Returns the config file of a path, or of a name without folder and extension.

    An existing file of that path has precedence. A name is searched for as `NAME.yaml` in the current folder,
    then among the recipes: in `configs/` of the current folder, then in the package.

    Raises:
        UserError: there is none; suggests a similar recipe.
    """
    path = Path(given)
    if path.is_file():
        return path
    recipes = _files("configs")
    is_name = path.name == str(path) and not path.suffix
    if is_name:
        here = Path(f"{path}.yaml")
        file = here if here.is_file() else recipes.get(path.name)
        if file is not None:
            return file
    near = nearest(path.stem, recipes)
    advice = f"did you mean '{near}'?" if near else "see `attnzoo list configs`"
    what = "a folder, expected a config file" if path.is_dir() else "no such config file"
    raise UserError(f"{path}: {what}{' or recipe' if is_name else ''}, {advice}")


def load_class(kind: str, name: str) -> Any:
    """Returns the class of a task or a feature by its name.

    Raises:
        UserError: there is no such name; suggests a similar one.
    """
    return getattr(load(kind, name), class_name(name))


def class_name(name: str) -> str:
    """Converts a name to a class name.

    Examples:
        >>> class_name("text_regression")
        'TextRegression'
    """
    return "".join(word.capitalize() for word in name.split("_"))


def _files(kind: str) -> dict[str, Path]:
    if kind not in KINDS:
        raise ValueError(f"Unknown kind '{kind}', expected one of {', '.join(KINDS)}.")
    if kind == "configs":
        folders = reversed(_config_folders())  # of equal names the first folder's stays
        return {name: path for folder in folders for name, path in _configs_in(folder).items()}
    paths = [path for folder in _folders(kind) for path in folder.glob("*.py") if path.stem[0] != "_"]
    paths = [path for path in paths if path.stem != KINDS[kind]]  # the base class of its kind
    return {path.stem: path for path in paths if _defines(path, _class_of(kind, path.stem))}


def _config_folders() -> list[Path]:
    """Returns the folders of recipes, in order of precedence."""
    here, shipped = Path("configs"), _shipped_folder()
    if not here.is_dir():
        return [shipped]
    return [here] if here.resolve() == shipped.resolve() else [here, shipped]


def _shipped_folder() -> Path:
    """Returns `configs` in an installed package; in a source tree it is next to the package."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def _configs_in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob("*.yaml") if path.is_file()}


def _one_config(name: str, files: dict[str, Path]) -> Path:
    if name not in files:
        raise UserError(f"unknown config '{name}'; {hint(name, files)}")
    return files[name]


def _folders(kind: str) -> list[Path]:
    """Returns the folders of a package, including those that its `__path__` was extended by."""
    return [Path(folder) for folder in importlib.import_module(_PACKAGES[kind]).__path__]


def _class_of(kind: str, name: str) -> str:
    return class_name(name) if kind in _BY_CLASS else "Config"


def _defines(path: Path, name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in _parse(path).body)


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _first_docstring_line(path: Path) -> str:
    docstring = ast.get_docstring(_parse(path)) or ""
    return docstring.partition("\n")[0]


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").rstrip()
    return ""
