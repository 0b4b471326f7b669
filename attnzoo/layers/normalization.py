"""Layer normalization."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.layers.fusion import fused


def normalize(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, *, epsilon: float) -> tf.Tensor:
    """Returns (x - mean) / sqrt(variance + epsilon) * scale + offset over the last axis, in the dtype of x.

    Args:
        inputs: x, <float>[..., units]; computed in float32 at least.
        scale: <float>[units].
        offset: <float>[units].
        epsilon: above 0.
    """
    float32_inputs = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
    float32_inputs -= tf.reduce_mean(float32_inputs, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(float32_inputs), axis=-1, keepdims=True)
    outputs = float32_inputs * tf.math.rsqrt(variance + epsilon)
    outputs = outputs * tf.cast(scale, outputs.dtype) + tf.cast(offset, outputs.dtype)
    return tf.cast(outputs, inputs.dtype)


_fused_normalize = fused(normalize)


@keras.saving.register_keras_serializable("attnzoo")
class LayerNormalization(keras.layers.Layer):
    """Normalizes the last axis to mean 0 and variance 1, then applies a trained scale and offset.

    Equal to `keras.layers.LayerNormalization` over the last axis, but compiled in training, see `fused`.

    Args:
        epsilon: added to the variance, above 0.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[..., units].
        training: whether to use the compiled version.

    Returns:
        <float> of the same shape.

    Reference: Ba et al. 2016, https://arxiv.org/abs/1607.06450

    Examples:
        >>> LayerNormalization()(tf.constant([[1.0, 2.0, 3.0]])).numpy().round(1).tolist()
        [[-1.2..., 0.0, 1.2...]]
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.epsilon = epsilon

    def build(self, inputs_shape):
        """Creates scale and offset, which are not cast to the compute dtype."""
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
