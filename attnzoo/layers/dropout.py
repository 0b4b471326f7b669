"""Dropout of elements and of whole examples, with stable variable paths."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.dropout import check_rate, drop, next_seed


@keras.saving.register_keras_serializable("attnzoo")
class Dropout(keras.layers.Layer):
    """Sets a fraction of the elements to 0 in training and scales the others up, which preserves the mean.

    Unlike `keras.layers.Dropout`, it drops the same elements with and without XLA and stores nothing for the
    gradient, and the variable path of its seed consists of layer names, not of a count of layers.

    Args:
        rate: fraction to drop, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float> of rank 2 or more.
        training: whether dropout is active.

    Returns:
        <float> of the same shape.

    Raises:
        ValueError: `rate` outside [0, 1).

    Examples:
        >>> outputs = Dropout(0.5)(tf.ones([50, 20]), training=True)
        >>> sorted(set(outputs.numpy().ravel().tolist()))
        [0.0, 2.0]
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.rate = check_rate(rate)

    def build(self, inputs_shape):
        """Creates the seed."""
        self.seed_generator = keras.random.SeedGenerator(name="seed") if self.rate > 0 else None
        self.built = True

    def call(self, inputs, training=None):
        """Applies dropout in training."""
        rng_key = self.next_rng_key(inputs, training)
        return inputs if rng_key is None else drop(inputs, self.rate, rng_key)

    def next_rng_key(self, inputs: tf.Tensor, training: bool | None) -> tf.Tensor | None:
        """Returns the next RNG key for inputs of this batch, <int64>[2], or None if nothing is dropped."""
        if not (training and self.rate):
            return None
        return next_seed(self.seed_generator, tf.shape(inputs)[0])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("attnzoo")
class StochasticDepth(Dropout):
    """Sets a fraction of the examples to 0 in training and scales the others up.

    On the branch of a residual block, this skips the block for these examples.

    Args, returns and raises: those of `Dropout`; `rate` is a fraction of the examples.

    Reference: Huang et al. 2016, https://arxiv.org/abs/1603.09382

    Examples:
        >>> outputs = StochasticDepth(0.5)(tf.ones([100, 2, 3]), training=True)
        >>> sorted(set(map(tuple, outputs.numpy().reshape(100, 6).tolist())))
        [(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (2.0, 2.0, 2.0, 2.0, 2.0, 2.0)]
    """

    def call(self, inputs, training=None):
        """Drops examples in training."""
        kept = tf.ones([keras.ops.shape(inputs)[0], 1], inputs.dtype)
        kept = super().call(kept, training=training)  # [batch, 1]
        return inputs * keras.ops.reshape(kept, [-1] + [1] * (len(inputs.shape) - 1))
