"""A gate over channels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.gate import Gate


@keras.saving.register_keras_serializable("attnzoo")
class SqueezeExcitation(Gate):
    """Scales each channel by what the whole input says about it.

        s = sigmoid(E(mean over positions of x))        y_i = s x_i        E(z) = W_2 relu(W_1 z + b_1) + b_2

    Args:
        units: width of the input and output, the number of channels.
        ratio: how many channels share one unit of the relu layer, 1 or more; it has units / ratio of them,
            rounded down, but never none.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments: those of `Gate`.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also s, <float32>[batch, 1, 1, units]:
        a factor for each channel, not for each position.

    Raises:
        ValueError: `ratio` below 1, and what `Gate` raises.

    Reference: Hu et al. 2018, https://arxiv.org/abs/1709.01507
    """

    weighs_positions = False

    def __init__(self, units: int, ratio: int = 16, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.ratio = check_positive("ratio", ratio)
        self.squeeze_projection = self._projection(max(1, units // ratio), "squeeze")
        self.excite_projection = self._projection(units, "excite")

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        self.squeeze_projection.build(query_shape)
        self.excite_projection.build((*query_shape[:-1], self.squeeze_projection.units))

    def excite(self, pooled: tf.Tensor) -> tf.Tensor:
        """Returns E(z), <float32> of the shape of z."""
        return tf.cast(self.excite_projection(tf.nn.relu(self.squeeze_projection(pooled))), tf.float32)

    def gate(self, inputs, valid):
        """Returns y and s."""
        factors = tf.sigmoid(self.excite(mean_over_positions(inputs, valid)))  # [batch, 1..., units]
        scores = keras.ops.reshape(factors, [-1, 1, 1, self.units])
        return inputs * tf.cast(factors, inputs.dtype), scores

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "ratio": self.ratio}


def mean_over_positions(inputs: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the valid positions, <float32>[batch, 1..., units]; 0 where there is none.

    Args:
        inputs: <float>[batch, position..., units], zeros where not valid.
        valid: <bool>[batch, position..., 1].
    """
    axes = list(range(1, inputs.shape.rank - 1))
    total, count = (
        tf.reduce_sum(tf.cast(tensor, tf.float32), axes, keepdims=True) for tensor in (inputs, valid)
    )
    return tf.math.divide_no_nan(total, count)
