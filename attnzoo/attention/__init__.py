"""Attention: the compiled kernel, its reference implementation, and layers with one common interface.

Importing this package does not import TensorFlow; the first use of a layer or function does. Every layer that
a module of this package registers with Keras is exported here.
"""

from __future__ import annotations

import importlib
from typing import Any

# Exports other than layers -> module. No module may have the name of an export: importing the module would
# replace the export.
_FUNCTIONS_AND_BASES = {
    "AttentionLayer": "base",
    "attention": "kernel",
    "attention_weights": "kernel",
    "build": "mechanisms",
    "choose_implementation": "kernel",
    "plain_operations": "compilation",
}


def _exports() -> dict[str, str]:
    """Returns each exported name and its module, sorted."""
    from attnzoo.attention.definitions import module_files
    from attnzoo.registration import layer_names

    layers = {layer: module for module, path in module_files().items() for layer in layer_names(path)}
    return dict(sorted({**_FUNCTIONS_AND_BASES, **layers}.items()))


def __getattr__(name: str) -> Any:
    exports = _exports()
    if name == "__all__":
        return list(exports)
    if name not in exports:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{exports[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_exports()])
