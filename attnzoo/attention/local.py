"""Multi-head attention within a sliding window."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import keras
from pydantic import Field

from attnzoo.attention.base import check_positive
from attnzoo.attention.multi_head import MultiHeadAttention
from attnzoo.attention.options import HeadOptions


class Config(HeadOptions):
    """Options of `LocalAttention`."""

    name: Literal["local"] = Field("local", description="Sliding-window multi-head attention.")
    window: Annotated[int, Field(ge=0)] = Field(
        128, description="Number of keys that a query can attend to on each side of its own position."
    )


@keras.saving.register_keras_serializable("attnzoo")
class LocalAttention(MultiHeadAttention):
    """Multi-head attention in which each query attends only to keys within a window around its position.

        head_h,i = sum_k A_h,ik V_h,k        over |k - i| <= window

    The compiled kernel skips keys outside the window, so time and memory grow with query * window instead of
    query * key. With `use_causal_mask`, a query attends to its own key and the `window` keys before it. In
    cross-attention the window is around the key with the index of the query.

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads, 1 or more.
        window: number of keys that a query attends to on each side, 0 or more.
        **kwargs: other arguments of `MultiHeadAttention`.

    Call arguments, returns: those of `MultiHeadAttention`.

    Raises:
        ValueError: `window` below 0; also raises what `MultiHeadAttention` raises.

    Reference: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150

    Examples:
        >>> layer = LocalAttention(units=8, num_heads=1, window=1)
        >>> outputs, weights = layer(keras.random.normal([1, 4, 8]), return_attention_scores=True)
        >>> (weights.numpy()[0, 0] > 0).astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """

    def __init__(self, units: int, num_heads: int = 4, window: int = 128, **kwargs: Any) -> None:
        super().__init__(units, num_heads, **kwargs)
        self.window = check_positive("window", window, minimum=0)

    @property
    def needs_order(self):
        """Always True: the window depends on positions."""
        return True

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds the window to the arguments of `MultiHeadAttention`."""
        arguments = super().kernel_arguments(arguments, query_length, key_length, position)
        return arguments._replace(window=self.window)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "window": self.window}
