"""Loads modules of TensorFlow Addons; nothing else in the package imports it.

Addons ended in 2024 on Keras 2: its root module cannot be imported with Keras 3, and its compiled ops do not
load in TensorFlow 2.21. Most of its subpackages `image`, `losses` and `metrics` is plain TensorFlow and works
when it is loaded without the root module. It is used only for what Keras does not have: the median filter of
images.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
import types
from pathlib import Path

from attnzoo.errors import UserError


def load(name: str) -> types.ModuleType:
    """Returns a module of TensorFlow Addons.

    Args:
        name: path below `tensorflow_addons`, such as "image.filters".

    Raises:
        UserError: Addons is not installed; it does not support Python 3.12 and later.
    """
    folder = _folder()
    if folder is None:
        raise UserError(f"tensorflow_addons.{name} is {missing()}.")
    _stub("tensorflow_addons", folder)
    package, _, _ = name.rpartition(".")
    if package:
        # The subpackage's own __init__ would import all its modules, including compiled ones.
        _stub(f"tensorflow_addons.{package}", folder / package)
    _stub("keras.src.engine")
    tensors = _stub("keras.src.engine.keras_tensor")
    tensors.KerasTensor = importlib.import_module("keras").KerasTensor  # type: ignore[attr-defined]
    return importlib.import_module(f"tensorflow_addons.{name}")


def is_installed() -> bool:
    """Returns whether it is installed; imports nothing."""
    return _folder() is not None


def missing() -> str:
    """Returns the end of the message for a missing module."""
    return (
        f"missing (Python {platform.python_version()}); TensorFlow Addons supports only Python 3.10 and "
        "3.11. Use one of these, or remove the option"
    )


def _folder() -> Path | None:
    """Returns the folder that Addons is installed in."""
    if "tensorflow_addons" in sys.modules:
        return Path(sys.modules["tensorflow_addons"].__path__[0])
    spec = importlib.util.find_spec("tensorflow_addons")
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None


def _stub(name: str, folder: Path | None = None) -> types.ModuleType:
    """Registers an empty module in place of one that cannot be imported."""
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__path__ = [str(folder)] if folder else []
        sys.modules[name] = module
    return sys.modules[name]
