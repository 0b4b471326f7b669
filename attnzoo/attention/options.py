"""What the options of several attention mechanisms share. Imports no TensorFlow.

The options of one mechanism are the class `Config` of its file; `mechanisms` reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from attnzoo.config.base import PositiveInt, Rate, Section

DROPOUT = "Fraction of the attention weights dropped in training, 0 to 1."
"""Description of the option `dropout`."""
PositionMark = Literal["none", "rotary", "alibi", "relative"]


class MechanismOptions(Section):
    """Base of the options of every mechanism."""

    name: str

    @property
    def needs_sides(self) -> bool:
        """Whether attention over a feature map has to know how high and how wide the map is."""
        return False

    def across(self) -> dict[str, Any]:
        """Returns the name and the options of the same attention for looking at another sequence."""
        return self.model_dump()


class HeadOptions(MechanismOptions):
    """What all kinds of multi-head attention share."""

    num_heads: PositiveInt = Field(
        4, description="Number of attention heads; must divide the width of the model."
    )
    num_key_value_heads: PositiveInt | None = Field(
        None,
        description="Grouped-query attention: number of heads of key and value, each shared by a group "
        "of query heads; must divide num_heads. Default: num_heads.",
    )
    position: PositionMark = Field(
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

    def across(self) -> dict[str, Any]:
        """Returns the options of multi-head attention without marks of position and without a window.

        Distances between positions of two sequences say little.
        """
        return {
            **self.model_dump(include=set(HeadOptions.model_fields)),
            "name": "multi_head",
            "position": "none",
        }


class GateOptions(MechanismOptions):
    """Base of the options of gates: they scale their input, and look at nothing else."""


class ChannelGateOptions(GateOptions):
    """What the gates over channels share."""

    ratio: PositiveInt = Field(
        16,
        description="Reduction ratio: width of the model divided by that of the gate's hidden layer, "
        "which has at least one unit.",
    )
