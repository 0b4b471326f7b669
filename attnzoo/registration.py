"""The layers that the package registers with Keras, known to it without importing TensorFlow.

`keras.models.load_model` finds a layer by its registered name. A layer is registered when its module is
imported, which imports TensorFlow; until then a stand-in is registered, which imports the module when Keras
builds the layer from its config. As Keras itself imports TensorFlow, this waits until something imports it.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "attnzoo"
"""First part of the registered names, such as "attnzoo>MultiHeadAttention"."""
_FOLDERS = ("attention", "layers")
_KERAS = "keras"


@functools.cache
def layer_names(path: Path) -> tuple[str, ...]:
    """Returns the names of the classes that a file registers with Keras."""
    classes = (node for node in parse_module(path).body if isinstance(node, ast.ClassDef))
    return tuple(node.name for node in classes if any(map(_registers, node.decorator_list)))


def layer_modules() -> dict[str, str]:
    """Returns the name and the module of each layer of the package that is registered with Keras.

    Examples:
        >>> layer_modules()["EncoderBlock"]
        'attnzoo.layers.transformer'
    """
    folders = [(name, Path(__file__).parent / name) for name in _FOLDERS]
    files = [(name, path) for name, folder in folders for path in sorted(folder.glob("*.py"))]
    return {layer: f"{PACKAGE}.{name}.{path.stem}" for name, path in files for layer in layer_names(path)}


def register_with_keras() -> None:
    """Registers all layers now if Keras is imported; otherwise as soon as it is."""
    if _KERAS in sys.modules:
        _register_stand_ins()
    elif not any(map(_is_ours, sys.meta_path)):
        sys.meta_path.insert(0, _KerasFinder())


def parse_module(path: Path) -> ast.Module:
    """Returns the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _registers(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called) == "keras.saving.register_keras_serializable"


def _register_stand_ins() -> None:
    import keras

    registered = keras.saving.get_custom_objects()
    for name, module in layer_modules().items():
        registered.setdefault(f"{PACKAGE}>{name}", _StandIn(module, name))


class _StandIn:
    """Takes the place of a layer in the registry of Keras until the layer's module is imported."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        """Imports the layer, which takes this one's place, and returns one with this config."""
        return getattr(importlib.import_module(self.module), self.name).from_config(config)


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras as the other finders do, and makes its import register the layers at its end."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns how to import Keras; None for other modules."""
        if fullname != _KERAS:
            return None
        finders = (finder for finder in sys.meta_path if not _is_ours(finder))
        found = (finder.find_spec(fullname, path, target) for finder in finders)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                if module.__name__ == _KERAS:  # a loader may be that of other modules too
                    _register_stand_ins()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _is_ours(finder: Any) -> bool:
    """Whether a finder is a `_KerasFinder`, also one of this module before it was reloaded."""
    return (type(finder).__module__, type(finder).__qualname__) == (__name__, _KerasFinder.__qualname__)
