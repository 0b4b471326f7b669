"""The attention mechanisms that a config can name, their options, and the layers that implement them.

A mechanism is a module of this package: its class `Config` defines the options, its layer the computation.
Parsing options imports neither Keras nor TensorFlow. The list of mechanisms is derived from the files.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.attention import definitions
from attnzoo.attention.options import MechanismOptions
from attnzoo.config.base import Problem, Section, named
from attnzoo.registration import layer_names

if TYPE_CHECKING:
    from attnzoo.attention.base import AttentionLayer

Options: TypeAlias = Section | Mapping[str, Any] | str
"""Options object, mapping with `name`, or just the name."""

_FILES = definitions.mechanism_files()
_CONFIGS: dict[str, type[MechanismOptions]] = {
    name: definitions.load_config(path) for name, path in _FILES.items()
}


def _as_mapping(value: Any) -> Any:
    """Accepts a name, and a `Config` of the mechanism's imported module, which is not the class used here."""
    if isinstance(value, MechanismOptions) and not isinstance(value, tuple(_CONFIGS.values())):
        return value.model_dump()
    return named(value)


if TYPE_CHECKING:
    AttentionOptions: TypeAlias = MechanismOptions
else:
    _Discriminated = Annotated[Union[tuple(_CONFIGS.values())], Field(discriminator="name")]  # noqa: UP007
    AttentionOptions = Annotated[
        _Discriminated,
        BeforeValidator(_as_mapping, json_schema_input_type=Literal[tuple(_CONFIGS)] | _Discriminated),
    ]
    """An attention mechanism with its options, or just its name."""

_ADAPTER: TypeAdapter[MechanismOptions] = TypeAdapter(AttentionOptions)


def names() -> list[str]:
    """Returns the names of the mechanisms, sorted.

    Examples:
        >>> names()[:3]
        ['additive', 'cbam', 'dot_product']
    """
    return list(_CONFIGS)


def memory_problems(options: MechanismOptions, units: int, causal: bool) -> Iterator[Problem]:
    """Yields why a decoder cannot use a mechanism.

    Args:
        options: options of the mechanism.
        units: width of the model.
        causal: whether the decoder uses it for causal self-attention as well as for cross-attention.
    """
    if options.supports_cross and (options.supports_causal or not causal):
        yield from (options if causal else parse(options.for_cross_attention())).problems(units)
        return
    fitting = [name for name, one in _CONFIGS.items() if one.supports_cross and one.supports_causal]
    needed = "cross-attention" + " and causal masks" * causal
    what = f"'{options.name}' does not support {needed}, which this model needs; choose one of "
    what += ", ".join(fitting)
    yield ("name",), what


def parse(options: Options) -> MechanismOptions:
    """Returns validated options from an options object, a mapping with `name`, or a name.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.

    Examples:
        >>> parse({"name": "local", "window": 16}).window
        16
    """
    return _ADAPTER.validate_python(dict(options) if isinstance(options, Mapping) else options)


def build(options: Options, units: int, name: str | None = None, dtype: Any = None) -> AttentionLayer:
    """Builds an attention layer from its options.

    Args:
        options: options object, a mapping with `name`, or just the name.
        units: width of the model, 1 or more.
        name: name of the layer.
        dtype: dtype or dtype policy of the layer; None for the global policy.

    Returns:
        An `AttentionLayer`.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
        ValueError: `units` does not fit the mechanism.

    Examples:
        >>> layer = build({"name": "multi_head", "num_heads": 2}, units=16)
        >>> layer.num_heads, layer.units
        (2, 16)
    """
    arguments = parse(options).model_dump()
    return _layer_class(arguments.pop("name"))(units, name=name, dtype=dtype, **arguments)


def _layer_class(mechanism: str) -> type[AttentionLayer]:
    """Returns the class of the attention layer in a mechanism's module."""
    from attnzoo.attention.base import AttentionLayer

    path = _FILES[mechanism]
    module = importlib.import_module(f"{definitions.PACKAGE}.{mechanism}")
    layers = [getattr(module, name) for name in layer_names(path)]
    layers = [layer for layer in layers if issubclass(layer, AttentionLayer)]
    if len(layers) != 1:
        raise ValueError(
            f"{path} must define exactly one attention layer that is registered with Keras. "
            f"Received: {', '.join(layer.__name__ for layer in layers) or 'none'}"
        )
    return layers[0]
