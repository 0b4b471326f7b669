"""Attention: the compiled kernel, its definition, and layers behind one contract.

Importing this package does not import TensorFlow; the first use of a name below does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnzoo.attention.additive import AdditiveAttention
    from attnzoo.attention.base import AttentionLayer
    from attnzoo.attention.cbam import CBAM
    from attnzoo.attention.dot_product import DotProductAttention
    from attnzoo.attention.grid import GridAttention
    from attnzoo.attention.kernel import attention, attention_scores, choose_implementation
    from attnzoo.attention.linear import LinearAttention
    from attnzoo.attention.local import LocalAttention
    from attnzoo.attention.multi_head import MultiHeadAttention
    from attnzoo.attention.pooling import AttentionPooling
    from attnzoo.attention.sigmoid import SigmoidAttention
    from attnzoo.attention.spatial import SpatialGate
    from attnzoo.attention.squeeze_excitation import SqueezeExcitation
    from attnzoo.config.sections import Section

# Name -> module. No module may have the name of an export: importing it would replace the export.
_MODULES = {
    "CBAM": "cbam",
    "AdditiveAttention": "additive",
    "AttentionLayer": "base",
    "AttentionPooling": "pooling",
    "DotProductAttention": "dot_product",
    "GridAttention": "grid",
    "LinearAttention": "linear",
    "LocalAttention": "local",
    "MultiHeadAttention": "multi_head",
    "SigmoidAttention": "sigmoid",
    "SpatialGate": "spatial",
    "SqueezeExcitation": "squeeze_excitation",
    "attention": "kernel",
    "attention_scores": "kernel",
    "choose_implementation": "kernel",
}

__all__ = [
    "CBAM",
    "AdditiveAttention",
    "AttentionLayer",
    "AttentionPooling",
    "DotProductAttention",
    "GridAttention",
    "LinearAttention",
    "LocalAttention",
    "MultiHeadAttention",
    "SigmoidAttention",
    "SpatialGate",
    "SqueezeExcitation",
    "attention",
    "attention_scores",
    "build",
    "choose_implementation",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


def build(
    options: Section | Mapping[str, Any] | str, units: int, name: str | None = None, dtype: Any = None
) -> AttentionLayer:
    """Makes the attention layer that a config asks for.

    Args:
        options: options object of `attention.options`, a mapping with `name`, or a bare name.
        units: width of the model.
        name: name of the layer.
        dtype: type or dtype policy of the layer; None for the global one.

    Returns:
        An `AttentionLayer`.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
        ValueError: `units` does not suit the mechanism.
    """
    from attnzoo.attention.options import parse

    arguments = parse(options).model_dump()
    module = arguments.pop("name")
    layer_name = next(export for export, home in _MODULES.items() if home == module)
    return __getattr__(layer_name)(units, name=name, dtype=dtype, **arguments)
