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

    num_heads: PositiveInt = Field(4, description="Number of heads; divides the width of the model.")
    num_key_value_heads: PositiveInt | None = Field(
        None,
        description="Heads of key and value, each for a group of heads of the query; divides num_heads. "
        "Default: num_heads.",
    )
    position: PositionMark = Field(
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
        description="Channels of the model for each unit of the hidden layer that gates them; it has one "
        "unit at least.",
    )
