"""Learned weights of the positions of a sequence."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import (
    CheckedLayer,
    Initializer,
    check_positive,
    own_initializer,
    serialized_initializer,
)
from attnzoo.attention.masks import masked_softmax


@keras.saving.register_keras_serializable("attnzoo")
class PositionScore(CheckedLayer):
    """Softmax over positions of a learned score.

        weights = softmax_t(v . x_t)        or, with a hidden layer,        softmax_t(v . tanh(W x_t + b))

    Args:
        hidden_units: width of the tanh layer, 0 or more; 0 for none.
        kernel_initializer: initializer of the kernels, or its name or config.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, features].
        padding_mask: <bool>[batch, time], True = may attend.

    Returns:
        Weights <float32>[batch, time], which sum to 1, or to 0 if no position is valid.

    Raises:
        ValueError: `hidden_units` below 0, or a padding mask of another shape.

    Examples:
        >>> mask = tf.constant([[True, True, False]])
        >>> PositionScore(hidden_units=8)(tf.ones([1, 3, 4]), padding_mask=mask).numpy().tolist()
        [[0.5, 0.5, 0.0]]
    """

    def __init__(
        self, hidden_units: int = 0, kernel_initializer: Initializer = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.kernel_initializer = kernel_initializer
        self.hidden_units = check_positive("hidden_units", hidden_units, minimum=0)
        self.hidden = self._dense(hidden_units, activation="tanh", name="hidden") if hidden_units else None
        # A bias would shift all logits equally and not change the softmax.
        self.score = self._dense(1, use_bias=False, name="score")

    def _dense(self, units: int, **kwargs: Any) -> keras.layers.Dense:
        initializer = own_initializer(self.kernel_initializer)
        return keras.layers.Dense(units, kernel_initializer=initializer, dtype=self.dtype_policy, **kwargs)

    def build(self, inputs_shape):
        """Creates the weights."""
        if self.hidden is not None:
            self.hidden.build(inputs_shape)
            inputs_shape = (*inputs_shape[:-1], self.hidden_units)
        self.score.build(inputs_shape)
        self.built = True

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the weights."""
        return tuple(inputs_shape[:-1])

    def check_call(self, inputs, padding_mask=None, **others):
        """Checks the shape of the padding mask."""
        self.check_shape("padding_mask", padding_mask, "[batch, time]", tuple(inputs.shape)[:-1])

    def call(self, inputs, padding_mask=None):
        """Returns the weights."""
        self.check_call(inputs, padding_mask)
        hidden = inputs if self.hidden is None else self.hidden(inputs)
        logits = tf.squeeze(self.score(hidden), axis=-1)  # [batch, time]
        return masked_softmax(logits, None if padding_mask is None else tf.cast(padding_mask, tf.bool))

    def compute_mask(self, inputs, previous_mask=None):
        """Returns None, as the weights of masked inputs are already zero."""
        return

    def get_config(self):
        """Returns the constructor's arguments."""
        initializer = serialized_initializer(self.kernel_initializer)
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "kernel_initializer": initializer,
        }
