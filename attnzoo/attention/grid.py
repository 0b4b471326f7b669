"""Multi-head attention over the positions of a feature map."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.multi_head import UnmarkedMultiHeadAttention


@keras.saving.register_keras_serializable("attnzoo")
class GridAttention(UnmarkedMultiHeadAttention):
    """Multi-head self attention over a grid, row by row, that knows distances along both axes.

        score_ij = q_i . k_j / sqrt(dim) + r_h[row_j - row_i] + c_h[column_j - column_i]

    with r_h and c_h trained, a number for each head and distance. The sum of the two is a bias of
    (height * width)^2 numbers a head, which is held.

    Args:
        units: width of input and output, a multiple of `num_heads`.
        height: rows of the grid, 1 or more.
        width: columns of the grid, 1 or more.
        **kwargs: other arguments of `UnmarkedMultiHeadAttention`.

    Call arguments, returns: those of `AttentionLayer`, for a query of height * width positions alone.

    Raises:
        ValueError: `height` or `width` below 1, and what `UnmarkedMultiHeadAttention` raises.

    Reference: Bello et al. 2019, https://arxiv.org/abs/1904.09925; as a bias: Liu et al. 2021,
        https://arxiv.org/abs/2103.14030
    """

    supports_cross = False
    supports_causal = False

    def __init__(self, units: int, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.sides = (check_positive("height", height), check_positive("width", width))

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers and the biases of distances."""
        super().build_projections(query_shape, key_shape, value_shape)
        self.distance_biases = [
            self._add_logits((2 * side - 1, self.num_heads), name)
            for side, name in zip(self.sides, ("rows", "columns"), strict=True)
        ]

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds what shapes the logits, with the biases of distances."""
        rows, columns = (
            _by_distance(table, side) for table, side in zip(self.distance_biases, self.sides, strict=True)
        )
        bias = rows[:, :, None, :, None] + columns[:, None, :, None, :]  # [heads, row, column, row, column]
        positions = self.sides[0] * self.sides[1]
        bias = tf.reshape(bias, [1, self.num_heads, positions, positions])
        arguments = super().kernel_arguments(arguments, query_length, key_length, position)
        return arguments._replace(bias=bias)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "height": self.sides[0], "width": self.sides[1]}


def _by_distance(table: tf.Tensor, side: int) -> tf.Tensor:
    """Returns <float>[heads, side, side], entry [i, j] for distance j - i, of a table [2 side - 1, heads]."""
    places = np.arange(side)[None] - np.arange(side)[:, None] + side - 1  # [side, side]
    # Products in place of a gather: its gradient adds up in one order on every device.
    chosen = tf.one_hot(places, 2 * side - 1, dtype=table.dtype)
    return tf.einsum("ijd,dh->hij", chosen, table)
