"""The attention mechanisms that a config can name, their options, and the layers behind them.

A mechanism is a file of this package: its class `Config` has the options, its layer the computation. Reading
options imports neither Keras nor TensorFlow, and nothing lists the mechanisms but the files.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.attention import definitions
from attnzoo.attention.options import MechanismOptions
from attnzoo.config.base import Problem, Section, named

if TYPE_CHECKING:
    from attnzoo.attention.base import AttentionLayer

Options: TypeAlias = Section | Mapping[str, Any] | str
"""Options object, mapping with `name`, or bare name."""

_FILES = definitions.mechanism_files()
_CONFIGS: dict[str, type[MechanismOptions]] = {
    name: definitions.load_config(path) for name, path in _FILES.items()
}


def _as_mapping(value: Any) -> Any:
    """Accepts a bare name, and a `Config` of a mechanism's own module, which is another class than here."""
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
    """One attention mechanism with its options, or its bare name."""

_ADAPTER: TypeAdapter[MechanismOptions] = TypeAdapter(AttentionOptions)


def names() -> list[str]:
    """Returns the names of the mechanisms, sorted."""
    return list(_CONFIGS)


def memory_problems(options: MechanismOptions, units: int, causal: bool) -> Iterator[Problem]:
    """Yields why a decoder cannot look at what was read with a mechanism.

    Args:
        options: of the mechanism.
        units: width of the model.
        causal: whether the decoder looks at what it has written with the same mechanism.
    """
    if options.supports_cross and (options.supports_causal or not causal):
        yield from (options if causal else parse(options.across())).problems(units)
        return
    fitting = [name for name, one in _CONFIGS.items() if one.supports_cross and one.supports_causal]
    needed = "look at another sequence" + " and be causal" * causal
    what = f"'{options.name}' cannot {needed}, as this model needs; choose one of {', '.join(fitting)}"
    yield ("name",), what


def parse(options: Options) -> MechanismOptions:
    """Returns checked options of an options object, a mapping with `name`, or a name.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
    """
    return _ADAPTER.validate_python(dict(options) if isinstance(options, Mapping) else options)


def build(options: Options, units: int, name: str | None = None, dtype: Any = None) -> AttentionLayer:
    """Makes the attention layer that a config asks for.

    Args:
        options: options object, a mapping with `name`, or a bare name.
        units: width of the model.
        name: name of the layer.
        dtype: type or dtype policy of the layer; None for the global one.

    Returns:
        An `AttentionLayer`.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
        ValueError: `units` does not suit the mechanism.
    """
    arguments = parse(options).model_dump()
    return _layer_class(arguments.pop("name"))(units, name=name, dtype=dtype, **arguments)


def _layer_class(mechanism: str) -> type[AttentionLayer]:
    """Returns the attention layer of a mechanism's file."""
    from attnzoo.attention.base import AttentionLayer

    path = _FILES[mechanism]
    module = importlib.import_module(f"{definitions.PACKAGE}.{mechanism}")
    layers = [getattr(module, name) for name in definitions.layer_names(path)]
    layers = [layer for layer in layers if issubclass(layer, AttentionLayer)]
    if len(layers) != 1:
        raise ValueError(
            f"{path} must define one attention layer that is registered with Keras. "
            f"Received: {', '.join(layer.__name__ for layer in layers) or 'none'}"
        )
    return layers[0]
