"""One learned weight for each position of a sequence."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.masks import masked_softmax


@keras.saving.register_keras_serializable("attnzoo")
class PositionScore(keras.layers.Layer):
    """Softmax over the positions of a learned score.

        weights = softmax_t(v . x_t)        or, with a hidden layer,        softmax_t(v . tanh(W x_t + b))

    Args:
        hidden_units: width of the tanh layer; 0 for none.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, features].
        padding_mask: <bool>[batch, time], True = may attend.

    Returns:
        <float32>[batch, time]; sums to 1, or to 0 where no position is valid.

    Raises:
        ValueError: `hidden_units` below 0.
    """

    def __init__(self, hidden_units: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.hidden_units = check_positive("hidden_units", hidden_units, least=0)
        self.hidden = (
            keras.layers.Dense(hidden_units, activation="tanh", name="hidden", dtype=self.dtype_policy)
            if hidden_units
            else None
        )
        # A bias would move all scores alike and not change the softmax.
        self.score = keras.layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Creates the weights."""
        if self.hidden is not None:
            self.hidden.build(inputs_shape)
            inputs_shape = (*inputs_shape[:-1], self.hidden_units)
        self.score.build(inputs_shape)
        self.built = True

    def call(self, inputs, padding_mask=None):
        """Returns the weights."""
        hidden = inputs if self.hidden is None else self.hidden(inputs)
        scores = tf.squeeze(self.score(hidden), axis=-1)  # [batch, time]
        return masked_softmax(scores, None if padding_mask is None else tf.cast(padding_mask, tf.bool))

    def compute_mask(self, inputs, previous_mask=None):
        """Returns None: weights are zeros where the inputs are masked."""
        return

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_units": self.hidden_units}
