"""Options that several attention mechanisms share. Does not import TensorFlow.

Each mechanism defines its options as the class `Config` of its module; `mechanisms` collects them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from attnzoo.config.base import PositiveInt, Problem, Rate, Section

DROPOUT = "Dropout rate of the attention weights."
"""Description of the option `dropout`."""
PositionEncoding = Literal["none", "rotary", "alibi", "relative"]


class MechanismOptions(Section):
    """Base class of the options of an attention mechanism.

    Attributes:
        supports_cross, supports_causal: those of the layer.
    """

    supports_cross: ClassVar[bool] = True
    supports_causal: ClassVar[bool] = True

    name: str

    @property
    def needs_map_size(self) -> bool:
        """Whether attention over a feature map needs a static height and width."""
        return False

    def for_cross_attention(self) -> dict[str, Any]:
        """Returns the name and options of the same attention for cross-attention."""
        return self.model_dump()

    def problems(self, units: int) -> Iterator[Problem]:
        """Yields options that do not fit together, or not the width of the model."""
        yield from ()


def head_problems(units: int, num_heads: int) -> Iterator[Problem]:
    """Yields a number of heads that does not divide the width of the model."""
    if units % num_heads:
        divisors = [str(number) for number in range(1, min(units, 64) + 1) if units % number == 0]
        yield (
            ("num_heads",),
            f"expected a divisor of the width {units}: {', '.join(divisors)}; received {num_heads}",
        )


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

    def problems(self, units: int) -> Iterator[Problem]:
        """Yields numbers of heads that do not divide the width or each other, and odd widths for rotary."""
        yield from super().problems(units)
        yield from head_problems(units, self.num_heads)
        groups = self.num_key_value_heads
        if groups is not None and self.num_heads % groups:
            what = f"expected a divisor of num_heads {self.num_heads}, received {groups}; 1 always is"
            yield ("num_key_value_heads",), what
        if self.position == "rotary" and units // self.num_heads % 2:
            what = (
                f"rotary turns pairs of features, and a head has {units // self.num_heads} of the width "
                f"{units}; expected an even number a head: change num_heads or position"
            )
            yield ("position",), what


class GateOptions(MechanismOptions):
    """Base class of the options of gates, which scale their input and do no cross-attention."""

    supports_cross: ClassVar[bool] = False
    supports_causal: ClassVar[bool] = False


class ChannelGateOptions(GateOptions):
    """Options that the channel gates share."""

    ratio: PositiveInt = Field(
        16,
        description="Reduction ratio: width of the model divided by that of the gate's hidden layer, "
        "which has at least one unit.",
    )
