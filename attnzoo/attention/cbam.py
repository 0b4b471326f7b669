"""A gate over channels, then one over positions."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.base import check_positive
from attnzoo.attention.gate import ChannelGate, flatten_positions, mean_over_positions
from attnzoo.attention.options import ChannelGateOptions
from attnzoo.attention.precision import at_least_float32
from attnzoo.config.base import PositiveInt


class Config(ChannelGateOptions):
    """Options of `CBAM`."""

    name: Literal["cbam"] = Field(
        "cbam",
        description="Gate: over channels, then over positions by convolution; within one sequence only.",
    )
    kernel_size: PositiveInt = Field(7, description="Positions that the convolution sees along each axis.")


@keras.saving.register_keras_serializable("attnzoo")
class CBAM(ChannelGate):
    """Convolutional block attention: scales each channel, then each position by what is around it.

        s = sigmoid(E(mean over positions of x) + E(maximum over positions of x))        x' = s x
        m = sigmoid(convolution of [mean over channels of x', maximum over channels of x'])        y = m x'

    with E as in `ChannelGate`. The convolution runs along the time of a sequence and over height and
    width of a feature map; which of the two is settled by the first input.

    Args:
        units: width of the input and output, the number of channels.
        ratio: how many channels share one unit of the hidden layer of E, 1 or more.
        kernel_size: how many positions the convolution sees along each axis, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments: those of `Gate`.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also m,
        <float32>[batch, 1, 1, positions], 0 at masked positions.

    Raises:
        ValueError: `kernel_size` below 1, and what `ChannelGate` raises.

    Reference: Woo et al. 2018, https://arxiv.org/abs/1807.06521
    """

    def __init__(self, units: int, ratio: int = 16, kernel_size: int = 7, **kwargs: Any) -> None:
        super().__init__(units, ratio, **kwargs)
        self.kernel_size = check_positive("kernel_size", kernel_size)

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        super().build_projections(query_shape, key_shape, value_shape)
        convolution = keras.layers.Conv1D if len(query_shape) == 3 else keras.layers.Conv2D
        self.convolution = convolution(
            1, self.kernel_size, padding="same", use_bias=False, name="convolution", dtype=self.dtype_policy
        )
        self.convolution.build((*query_shape[:-1], 2))

    def gate(self, inputs, valid):
        """Returns y and m."""
        mean, maximum = mean_over_positions(inputs, valid), max_over_positions(inputs, valid)
        factors = tf.sigmoid(self.excite(mean) + self.excite(maximum))  # [batch, 1..., units]
        inputs *= tf.cast(factors, inputs.dtype)
        summary = tf.concat(
            [tf.reduce_mean(inputs, -1, keepdims=True), tf.reduce_max(inputs, -1, keepdims=True)], axis=-1
        )  # [batch, position..., 2]
        factors = tf.sigmoid(at_least_float32(self.convolution(summary)))  # [batch, position..., 1]
        scores = flatten_positions(tf.where(valid, factors, 0.0))[:, None, None, :, 0]
        return inputs * tf.cast(factors, inputs.dtype), scores

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "kernel_size": self.kernel_size}


def max_over_positions(inputs: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the greatest of the valid positions, <float>[batch, 1..., units]; 0 where there is none.

    Args:
        inputs: <float>[batch, position..., units].
        valid: <bool>[batch, position..., 1].
    """
    axes = list(range(1, inputs.shape.rank - 1))
    greatest = tf.reduce_max(tf.where(valid, inputs, inputs.dtype.min), axes, keepdims=True)
    return tf.where(tf.reduce_any(valid, axes, keepdims=True), greatest, tf.zeros_like(greatest))
