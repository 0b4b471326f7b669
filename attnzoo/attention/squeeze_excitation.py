"""A gate over channels."""

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
        description="Gate: each channel times a factor that comes from the mean; within one sequence only.",
    )


@keras.saving.register_keras_serializable("attnzoo")
class SqueezeExcitation(ChannelGate):
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

    def gate(self, inputs, valid):
        """Returns y and s."""
        factors = tf.sigmoid(self.excite(mean_over_positions(inputs, valid)))  # [batch, 1..., units]
        scores = keras.ops.reshape(factors, [-1, 1, 1, self.units])
        return inputs * tf.cast(factors, inputs.dtype), scores
