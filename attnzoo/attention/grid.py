"""Multi-head attention over the positions of a feature map."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.multi_head import BaseMultiHeadAttention


@keras.saving.register_keras_serializable("attnzoo")
class GridAttention(BaseMultiHeadAttention):
    """Multi-head self-attention over a flattened feature map, with relative positions along both axes.

        logits_ij = q_i . k_j / sqrt(dim) + r_h[row_j - row_i] + c_h[column_j - column_i]

    with trained biases r_h and c_h for each head and distance. Memory: their sum is materialized as
    (height * width)^2 numbers per head.

    Args:
        units: width of input and output, a multiple of `num_heads`.
        height: number of rows of the feature map, 1 or more.
        width: number of columns of the feature map, 1 or more.
        **kwargs: other arguments of `BaseMultiHeadAttention`.

    Call arguments, returns: those of `AttentionLayer`; the query has height * width positions in row-major
        order, and there is no value or key.

    Raises:
        ValueError: `height` or `width` below 1; also raises what `BaseMultiHeadAttention` raises.

    Reference: Bello et al. 2019, https://arxiv.org/abs/1904.09925; as a bias: Liu et al. 2021,
        https://arxiv.org/abs/2103.14030

    Examples:
        >>> layer = GridAttention(units=16, height=5, width=7, num_heads=2)
        >>> outputs, weights = layer(tf.random.normal([2, 35, 16]), return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 35, 16]), TensorShape([2, 2, 35, 35]))
    """

    supports_cross = False
    supports_causal = False

    def __init__(self, units: int, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.map_size = (check_positive("height", height), check_positive("width", width))

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers and the relative position biases."""
        super().build_projections(query_shape, value_shape, key_shape)
        self.distance_biases = [
            self._add_logits((2 * side - 1, self.num_heads), name)
            for side, name in zip(self.map_size, ("rows", "columns"), strict=True)
        ]

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds the relative position biases to the arguments of `BaseMultiHeadAttention`."""
        rows, columns = (
            _expand_by_distance(table, side)
            for table, side in zip(self.distance_biases, self.map_size, strict=True)
        )
        bias = rows[:, :, None, :, None] + columns[:, None, :, None, :]  # [heads, row, column, row, column]
        positions = self.map_size[0] * self.map_size[1]
        bias = tf.reshape(bias, [1, self.num_heads, positions, positions])
        arguments = super().kernel_arguments(arguments, query_length, key_length, position)
        return arguments._replace(bias=bias)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "height": self.map_size[0], "width": self.map_size[1]}


def _expand_by_distance(table: tf.Tensor, side: int) -> tf.Tensor:
    """Expands [2 side - 1, heads] to <float>[heads, side, side], entry [i, j] for distance j - i."""
    indices = np.arange(side)[None] - np.arange(side)[:, None] + side - 1  # [side, side]
    # A product instead of a gather: its gradient is summed in the same order on every device.
    selected = tf.one_hot(indices, 2 * side - 1, dtype=table.dtype)
    return tf.einsum("ijd,dh->hij", selected, table)
