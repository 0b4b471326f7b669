"""Options that several attention mechanisms share. Does not import TensorFlow.

Each mechanism defines its options as the class `Config` of its module; `mechanisms` collects them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from attnzoo.config.base import PositiveInt, Rate, Section

DROPOUT = "Dropout rate of the attention weights."
"""Description of the option `dropout`."""
PositionEncoding = Literal["none", "rotary", "alibi", "relative"]


class MechanismOptions(Section):
    """Base class of the options of an attention mechanism."""

    name: str

    @property
    def needs_map_size(self) -> bool:
        """Whether attention over a feature map needs a static height and width."""
        return False

    def for_cross_attention(self) -> dict[str, Any]:
        """Returns the name and options of the same attention for cross-attention."""
        return self.model_dump()


class HeadOptions(MechanismOptions):
    """Options that all multi-head mechanisms share."""

    num_heads: PositiveInt = Field(
        4, description="Number of attention heads; must divide the width of the model."
    )
    num_key_value_heads: PositiveInt | None = Field(
        None,
        description="Grouped-query attention: number of heads of key and value, each shared by a group "
        "of query heads; must divide num_heads. Default: num_heads.",
    )
    position: PositionEncoding = Field(
        "none",
        description="Relative positions. rotary: query and key are rotated (RoPE); alibi: a fixed "
        "penalty for distance; relative: a trained bias for each distance, as in T5.",
    )
    soft_cap: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="Attention logits are limited to -soft_cap to soft_cap by tanh. Default: no limit."
    )
    sink: bool = Field(
        False,
        description="Attention sink: a trained logit for each head joins the softmax, so that a head can "
        "attend to nothing.",
    )
    dropout: Rate = Field(0.0, description=DROPOUT)

    def for_cross_attention(self) -> dict[str, Any]:
        """Returns the options of multi-head attention without position encoding and without a window.

        Distances between positions of two different sequences mean little.
        """
        return {
            **self.model_dump(include=set(HeadOptions.model_fields)),
            "name": "multi_head",
            "position": "none",
        }


class GateOptions(MechanismOptions):
    """Base class of the options of gates, which scale their input and do no cross-attention."""


class ChannelGateOptions(GateOptions):
    """Options that the channel gates share."""

    ratio: PositiveInt = Field(
        16,
        description="Reduction ratio: width of the model divided by that of the gate's hidden layer, "
        "which has at least one unit.",
    )
