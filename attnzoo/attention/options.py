"""What a config can say about attention. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.config.base import PositiveInt, Rate, Section, named

_DROPOUT = "Share of the attention weights dropped in training, 0 to 1."


class _HeadOptions(Section):
    """What all kinds of multi-head attention share."""

    name: str
    num_heads: PositiveInt = Field(4, description="Number of heads; divides the width of the model.")
    num_key_value_heads: PositiveInt | None = Field(
        None,
        description="Heads of key and value, each for a group of heads of the query; divides num_heads. "
        "Default: num_heads.",
    )
    position: Literal["none", "rotary", "alibi", "relative"] = Field(
        "none",
        description="Mark of positions by distance. rotary: turned query and key; alibi: fixed penalty; "
        "relative: trained bias, as in T5.",
    )
    soft_cap: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="Scores are bent to stay between -soft_cap and soft_cap. Default: no limit."
    )
    sink: bool = Field(
        False, description="A trained logit a head that takes weight from the keys: it may look at nothing."
    )
    dropout: Rate = Field(0.0, description=_DROPOUT)


class MultiHeadOptions(_HeadOptions):
    """Options of `MultiHeadAttention`."""

    name: Literal["multi_head"] = Field("multi_head", description="Scaled dot products in several subspaces.")


class LocalOptions(_HeadOptions):
    """Options of `LocalAttention`."""

    name: Literal["local"] = Field("local", description="Multi-head attention to near positions alone.")
    window: Annotated[int, Field(ge=0)] = Field(
        128, description="Keys that a query sees on each side of its own position, 0 or more."
    )


class AdditiveOptions(Section):
    """Options of `AdditiveAttention`."""

    name: Literal["additive"] = Field("additive", description="Bahdanau: v . tanh(W1 key + W2 query).")
    hidden_units: PositiveInt = Field(64, description="Width of the tanh layer that scores query and key.")
    dropout: Rate = Field(0.0, description=_DROPOUT)


class DotProductOptions(Section):
    """Options of `DotProductAttention`."""

    name: Literal["dot_product"] = Field(
        "dot_product", description="Luong: query . key, or a learned score of the two."
    )
    score: Literal["dot", "scaled", "general", "concat"] = Field(
        "scaled",
        description="dot: q . k; scaled: q . k / sqrt(width); general: q . W k; concat: v . tanh(W [q; k]).",
    )
    dropout: Rate = Field(0.0, description=_DROPOUT)


class SigmoidOptions(Section):
    """Options of `SigmoidAttention`."""

    name: Literal["sigmoid"] = Field("sigmoid", description="sigmoid(q . k), normalised over the keys.")
    hidden_units: PositiveInt = Field(64, description="Width of the projected query and key.")
    dropout: Rate = Field(0.0, description=_DROPOUT)


class GateOptions(Section):
    """Base of the options of gates: they scale their input, and look at nothing else."""


class SpatialOptions(GateOptions):
    """Options of `SpatialGate`."""

    name: Literal["spatial"] = Field(
        "spatial",
        description="Gate: each position times its softmax weight; within one sequence only.",
    )
    hidden_units: Annotated[int, Field(ge=0)] = Field(
        0, description="Width of the tanh layer that scores a position; 0 for a linear score."
    )
    rescale: bool = Field(
        True, description="Multiply by the number of positions, so that even attention changes nothing."
    )


_RATIO = "Channels of the model for each unit of the hidden layer that gates them; it has one unit at least."


class SqueezeExcitationOptions(GateOptions):
    """Options of `SqueezeExcitation`."""

    name: Literal["squeeze_excitation"] = Field(
        "squeeze_excitation",
        description="Gate: each channel times a factor that comes from the mean; within one sequence only.",
    )
    ratio: PositiveInt = Field(16, description=_RATIO)


class CBAMOptions(GateOptions):
    """Options of `CBAM`."""

    name: Literal["cbam"] = Field(
        "cbam",
        description="Gate: over channels, then over positions by convolution; within one sequence only.",
    )
    ratio: PositiveInt = Field(16, description=_RATIO)
    kernel_size: PositiveInt = Field(7, description="Positions that the convolution sees along each axis.")


class LinearOptions(Section):
    """Options of `LinearAttention`."""

    name: Literal["linear"] = Field(
        "linear", description="Products of elu + 1 in place of the softmax: linear in the length."
    )
    num_heads: PositiveInt = Field(4, description="Number of heads; divides the width of the model.")


_Mechanism = (
    MultiHeadOptions
    | LocalOptions
    | LinearOptions
    | AdditiveOptions
    | DotProductOptions
    | SigmoidOptions
    | SpatialOptions
    | SqueezeExcitationOptions
    | CBAMOptions
)
_Name = Literal[
    "multi_head",
    "local",
    "linear",
    "additive",
    "dot_product",
    "sigmoid",
    "spatial",
    "squeeze_excitation",
    "cbam",
]
_Discriminated = Annotated[_Mechanism, Field(discriminator="name")]

AttentionOptions = Annotated[
    _Discriminated, BeforeValidator(named, json_schema_input_type=_Name | _Discriminated)
]
"""One attention mechanism with its options, or its bare name."""

_ADAPTER: TypeAdapter[_Mechanism] = TypeAdapter(AttentionOptions)


def parse(options: Section | Mapping[str, Any] | str) -> _Mechanism:
    """Returns checked options of an options object, a mapping with `name`, or a name.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
    """
    return _ADAPTER.validate_python(dict(options) if isinstance(options, Mapping) else options)


def across(options: Section | Mapping[str, Any] | str) -> _Mechanism:
    """Returns the options of the same attention for looking at another sequence.

    Distances between positions of two sequences say little, so windows and marks of position are left out.
    """
    parsed = parse(options)
    if not isinstance(parsed, _HeadOptions):
        return parsed
    shared = {field: getattr(parsed, field) for field in _HeadOptions.model_fields if field != "name"}
    return MultiHeadOptions(**{**shared, "position": "none"})
