"""What the modules of this package define, found without running them, as they import TensorFlow."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.machinery
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attnzoo.registration import parse_module

PACKAGE = __name__.rpartition(".")[0]
CONFIG = "Config"
"""Name of the options class; a module that defines it is an attention mechanism."""


def module_files() -> dict[str, Path]:
    """Returns the file of each module of the package, sorted by module name.

    A folder appended to the package's `__path__` adds its modules.
    """
    folders = importlib.import_module(PACKAGE).__path__
    files = [path for folder in folders for path in Path(folder).glob("*.py") if path.stem[0] != "_"]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def mechanism_files() -> dict[str, Path]:
    """Returns the files of the modules that define `Config`."""
    return {name: path for name, path in module_files().items() if _defines_config(path)}


@functools.cache
def _defines_config(path: Path) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == CONFIG for node in parse_module(path).body)


@functools.cache
def load_config(path: Path) -> type[Any]:
    """Returns the `Config` of a file by running only this class and the statements that it depends on.

    Annotations are evaluated immediately, so they cannot refer to the class itself.
    """
    name = f"{PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_loader(name, _ConfigLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, CONFIG)


class _ConfigLoader(importlib.machinery.SourceFileLoader):
    """Loads `Config` of a mechanism's file and the statements that it depends on."""

    def path_stats(self, path: str) -> Any:
        """Raises OSError, as cached bytecode would be that of the whole file."""
        raise OSError

    def source_to_code(self, data: Any, path: Any, **options: Any) -> Any:  # type: ignore[override]
        """Compiles only the statements that are needed."""
        statements = ast.parse(data).body
        defined = {name: number for number, node in enumerate(statements) for name in _names_defined_by(node)}
        needed: set[int] = set()
        pending = {CONFIG}
        while pending:
            number = defined.get(pending.pop())
            if number is not None and number not in needed:
                needed.add(number)
                pending |= {node.id for node in ast.walk(statements[number]) if isinstance(node, ast.Name)}
        tree: Any = ast.Module([statements[number] for number in sorted(needed)], type_ignores=[])
        return super().source_to_code(tree, path, **options)


def _names_defined_by(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
        yield statement.name
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
