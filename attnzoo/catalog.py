"""What there is to choose from: models, data sets, attention mechanisms and configs.

A name in a config is the name of a file: `text_classifier` is `attnzoo/models/text_classifier.py`. Lists read
the files without importing them; a module is imported when its name is asked for.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from attnzoo.errors import UserError

KINDS = {
    "models": "model",
    "datasets": "data set",
    "attention": "attention mechanism",
    "configs": "config",
}
"""What can be listed -> what one of them is called."""

_ROOT = Path(__file__).parent.parent
_PACKAGES = {
    "models": "attnzoo.models",
    "datasets": "attnzoo.data.datasets",
    "attention": "attnzoo.attention",
}


def names(kind: str) -> list[str]:
    """Returns the names of a kind, sorted.

    Args:
        kind: "models", "datasets", "attention" or "configs".

    Raises:
        ValueError: there is no such kind.
    """
    return sorted(_files(kind))


def describe(kind: str) -> list[tuple[str, str]]:
    """Returns (name, first line of what its file says about itself), sorted, without importing anything.

    Raises:
        ValueError: there is no such kind.
    """
    first_line = _first_comment if kind == "configs" else _first_docstring_line
    return [(name, first_line(path)) for name, path in sorted(_files(kind).items())]


def load(kind: str, name: str) -> ModuleType:
    """Imports and returns the module behind a name.

    Args:
        kind: "models", "datasets" or "attention".
        name: one of `names(kind)`.

    Raises:
        UserError: there is no such name; says which one is near.
    """
    known = names(kind)
    if name not in known:
        raise UserError(f"unknown {KINDS[kind]} '{name}'; {hint(name, known)}")
    return importlib.import_module(f"{_PACKAGES[kind]}.{name}")


def config_path(name: str) -> Path:
    """Returns the path of a config by its name.

    Raises:
        UserError: there is no such config; says which one is near.
    """
    files = _files("configs")
    if name not in files:
        raise UserError(f"unknown config '{name}'; {hint(name, files)}")
    return files[name]


def hint(word: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" where a known word is near, else a list of what is known."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "expected one of " + ", ".join(known) if known else "there is none"


def _files(kind: str) -> dict[str, Path]:
    if kind not in KINDS:
        raise ValueError(f"Unknown kind '{kind}', expected one of {', '.join(KINDS)}.")
    if kind == "configs":
        here = Path("configs")
        folder = here if here.is_dir() else _ROOT / "configs"
        return {path.stem: path for path in folder.glob("*.yaml")}
    folder = _ROOT.joinpath(*_PACKAGES[kind].split("."))
    modules = {path.stem: path for path in folder.glob("*.py") if not path.stem.startswith("_")}
    return {name: path for name, path in modules.items() if _defines_config(path)}


def _defines_config(path: Path) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == "Config" for node in _parse(path).body)


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _first_docstring_line(path: Path) -> str:
    docstring = ast.get_docstring(_parse(path)) or ""
    return docstring.partition("\n")[0]


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").rstrip()
    return ""
