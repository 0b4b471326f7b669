"""A channel gate followed by a spatial gate."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.base import check_positive, own_initializer
from attnzoo.attention.gate import ChannelGate, flatten_positions, mean_over_positions
from attnzoo.attention.options import ChannelGateOptions
from attnzoo.attention.precision import at_least_float32
from attnzoo.config.base import PositiveInt


class Config(ChannelGateOptions):
    """Options of `CBAM`."""

    name: Literal["cbam"] = Field(
        "cbam",
        description="Gate: scales channels, then positions by a convolution; self-attention only.",
    )
    kernel_size: PositiveInt = Field(
        7, description="Size of the convolution that scales positions, along each axis; 1 or more."
    )


@keras.saving.register_keras_serializable("attnzoo")
class CBAM(ChannelGate):
    """Convolutional block attention module: scales each channel, then each position.

        s = sigmoid(E(mean over positions of x) + E(maximum over positions of x))        x' = s x
        m = sigmoid(convolution of [mean over channels of x', maximum over channels of x'])        y = m x'

    with E as in `ChannelGate`. The convolution is 1-D for a sequence and 2-D for a feature map; the first
    input decides which.

    Args:
        units: width of the input and output, the number of channels.
        ratio: reduction ratio of the hidden layer of E, 1 or more; see `ChannelGate`.
        kernel_size: size of the convolution along each axis, 1 or more.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments: those of `Gate`.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also m,
        <float32>[batch, 1, 1, positions], 0 at masked positions.

    Raises:
        ValueError: `kernel_size` below 1; also raises what `ChannelGate` raises.

    Reference: Woo et al. 2018, https://arxiv.org/abs/1807.06521

    Examples:
        >>> layer = CBAM(units=16, ratio=4, kernel_size=3)
        >>> outputs, weights = layer(tf.random.normal([2, 5, 7, 16]), return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 7, 16]), TensorShape([2, 1, 1, 35]))
    """

    def __init__(self, units: int, ratio: int = 16, kernel_size: int = 7, **kwargs: Any) -> None:
        super().__init__(units, ratio, **kwargs)
        self.kernel_size = check_positive("kernel_size", kernel_size)

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        super().build_projections(query_shape, value_shape, key_shape)
        convolution = keras.layers.Conv1D if len(query_shape) == 3 else keras.layers.Conv2D
        self.convolution = convolution(
            1,
            self.kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer=own_initializer(self.kernel_initializer),
            name="convolution",
            dtype=self.dtype_policy,
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
        # The slice is for no examples: with oneDNN the result then has the shape of the input.
        factors = tf.sigmoid(at_least_float32(self.convolution(summary)[..., :1]))  # [batch, position..., 1]
        weights = flatten_positions(tf.where(valid, factors, 0.0))[:, None, None, :, 0]
        return inputs * tf.cast(factors, inputs.dtype), weights

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "kernel_size": self.kernel_size}


def max_over_positions(inputs: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the maximum over the valid positions, <float>[batch, 1..., units]; 0 if there is none.

    Args:
        inputs: <float>[batch, position..., units].
        valid: <bool>[batch, position..., 1].
    """
    axes = list(range(1, inputs.shape.rank - 1))
    maximum = tf.reduce_max(tf.where(valid, inputs, inputs.dtype.min), axes, keepdims=True)
    return tf.where(tf.reduce_any(valid, axes, keepdims=True), maximum, tf.zeros_like(maximum))
