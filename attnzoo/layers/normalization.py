"""Layer normalization."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.layers.fusion import fused


def normalize(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, *, epsilon: float) -> tf.Tensor:
    """Returns (x - mean) / sqrt(variance + epsilon) * scale + offset over the last axis, in the type of x.

    Args:
        inputs: x, <float>[..., units]; computed in float32 at least.
        scale: <float>[units].
        offset: <float>[units].
        epsilon: above 0.
    """
    wide = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
    wide -= tf.reduce_mean(wide, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(wide), axis=-1, keepdims=True)
    outputs = wide * tf.math.rsqrt(variance + epsilon)
    return tf.cast(outputs * tf.cast(scale, wide.dtype) + tf.cast(offset, wide.dtype), inputs.dtype)


_fused_normalize = fused(normalize)


@keras.saving.register_keras_serializable("attnzoo")
class LayerNormalization(keras.layers.Layer):
    """Gives each position mean 0 and variance 1 over its units, then a trained scale and offset.

    Equal to `keras.layers.LayerNormalization` over the last axis; in training in one pass, see `fused`.

    Args:
        epsilon: added to the variance, above 0.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[..., units].
        training: whether it is compiled on its own.

    Returns:
        <float> of the same shape.

    Reference: Ba et al. 2016, https://arxiv.org/abs/1607.06450
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.epsilon = epsilon

    def build(self, inputs_shape):
        """Creates scale and offset, which stay in float32."""
        shape = (inputs_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma", autocast=False)
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta", autocast=False)
        self.built = True

    def call(self, inputs, training=None):
        """Normalizes."""
        function = _fused_normalize if training else normalize
        return function(inputs, self.gamma, self.beta, epsilon=self.epsilon)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}
