"""A channel gate: it scales channels."""

from __future__ import annotations

from typing import Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.gate import ChannelGate, mean_over_positions
from attnzoo.attention.options import ChannelGateOptions


class Config(ChannelGateOptions):
    """Options of `SqueezeExcitation`."""

    name: Literal["squeeze_excitation"] = Field(
        "squeeze_excitation",
        description="Gate: scales each channel by a factor computed from the mean over positions; "
        "self-attention only.",
    )


@keras.saving.register_keras_serializable("attnzoo")
class SqueezeExcitation(ChannelGate):
    """Squeeze-and-excitation: scales each channel by a factor computed from the mean over all positions.

        s = sigmoid(E(mean over positions of x))        y_i = s x_i        E(z) = W_2 relu(W_1 z + b_1) + b_2

    Args:
        units: width of the input and output, the number of channels.
        ratio: reduction ratio, 1 or more: the relu layer has units / ratio units, rounded down, at least 1.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments: those of `Gate`.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also s, <float32>[batch, 1, 1, units]:
        one factor per channel, not per position.

    Raises:
        ValueError: `ratio` below 1; also raises what `Gate` raises.

    Reference: Hu et al. 2018, https://arxiv.org/abs/1709.01507

    Examples:
        >>> layer = SqueezeExcitation(units=16, ratio=4)
        >>> outputs, factors = layer(tf.random.normal([2, 5, 7, 16]), return_attention_scores=True)
        >>> outputs.shape, factors.shape
        (TensorShape([2, 5, 7, 16]), TensorShape([2, 1, 1, 16]))
    """

    weighs_positions = False

    def gate(self, inputs, valid):
        """Returns y and s."""
        factors = tf.sigmoid(self.excite(mean_over_positions(inputs, valid)))  # [batch, 1..., units]
        channel_factors = keras.ops.reshape(factors, [-1, 1, 1, self.units])
        return inputs * tf.cast(factors, inputs.dtype), channel_factors
