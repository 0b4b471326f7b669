"""Dropout of elements and of whole examples, with a stable state path."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.dropout import check_rate, drop, next_seed


@keras.saving.register_keras_serializable("attnzoo")
class Dropout(keras.layers.Layer):
    """Zeros a fraction of the elements in training and scales the others up, so that the mean stays.

    Unlike `keras.layers.Dropout` it drops the same elements with and without XLA, keeps nothing for the
    gradient, and its seed has a path made of layer names instead of a count of the layers made so far.

    Args:
        rate: share to drop, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float> of rank 2 or more.
        training: whether dropout is active.

    Returns:
        <float> of the same shape.

    Raises:
        ValueError: `rate` outside [0, 1).
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
        """Drops, if training."""
        words = self.draw(training)
        return inputs if words is None else drop(inputs, self.rate, words)

    def draw(self, training: bool | None) -> tf.Tensor | None:
        """Returns the seed of the next choice, <int64>[2], or None if nothing is to be dropped."""
        return next_seed(self.seed_generator) if training and self.rate else None

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("attnzoo")
class StochasticDepth(Dropout):
    """Zeros the whole input of a fraction of the examples in training and scales the others up.

    On the branch of a residual block it leaves the block out for these examples.

    Args, returns and raises: those of `Dropout`; `rate` is the fraction of the examples.

    Reference: Huang et al. 2016, https://arxiv.org/abs/1603.09382
    """

    def call(self, inputs, training=None):
        """Drops examples, if training."""
        kept = tf.ones([keras.ops.shape(inputs)[0], 1], inputs.dtype)
        kept = super().call(kept, training=training)  # [batch, 1]
        return inputs * keras.ops.reshape(kept, [-1] + [1] * (len(inputs.shape) - 1))
