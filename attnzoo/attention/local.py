"""Multi-head attention to near positions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import keras
from pydantic import Field

from attnzoo.attention.base import check_positive
from attnzoo.attention.multi_head import MultiHeadAttention
from attnzoo.attention.options import HeadOptions


class Config(HeadOptions):
    """Options of `LocalAttention`."""

    name: Literal["local"] = Field("local", description="Multi-head attention to near positions alone.")
    window: Annotated[int, Field(ge=0)] = Field(
        128, description="Number of keys that a query can attend to on each side of its own position."
    )


@keras.saving.register_keras_serializable("attnzoo")
class LocalAttention(MultiHeadAttention):
    """Multi-head attention of every query to the keys around its own position.

        head_h,i = sum_k A_h,ik V_h,k        over |k - i| <= window alone

    The compiled kernel skips what is out of reach, so time and memory grow with query * window instead of
    query * key. A causal call sees the `window` keys before the query and its own. In another sequence the
    query looks around its own index.

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads, 1 or more.
        window: keys that a query sees on each side, 0 or more.
        **kwargs: the other arguments of `MultiHeadAttention`.

    Call arguments, returns: those of `MultiHeadAttention`.

    Raises:
        ValueError: `window` below 0, and what `MultiHeadAttention` raises.

    Reference: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150
    """

    def __init__(self, units: int, num_heads: int = 4, window: int = 128, **kwargs: Any) -> None:
        super().__init__(units, num_heads, **kwargs)
        self.window = check_positive("window", window, least=0)

    @property
    def needs_order(self):
        """True: a window is about distances."""
        return True

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds the window to what `MultiHeadAttention` adds."""
        arguments = super().kernel_arguments(arguments, query_length, key_length, position)
        return arguments._replace(window=self.window)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "window": self.window}
