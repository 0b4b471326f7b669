"""Attention that sums a sequence up."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import ScoredLayer
from attnzoo.attention.position_score import PositionScore


@keras.saving.register_keras_serializable("attnzoo")
class AttentionPooling(ScoredLayer):
    """One vector for a sequence: the sum of its elements, each with a learned weight.

        w = softmax over time of E(x)        y = sum_t w_t x_t        E: see `PositionScore`

    Args:
        hidden_units: width of the tanh layer in E; 0 for a linear score.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, units].
        padding_mask: <bool>[batch, time], True = may attend.
        return_attention_scores: also return w.

    Returns:
        <float>[batch, units]; with `return_attention_scores` also <float32>[batch, 1, 1, time]. Zeros where
        no position is valid.

    Raises:
        ValueError: `hidden_units` below 0.
    """

    def __init__(self, hidden_units: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score = PositionScore(hidden_units, name="score", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Creates the weights."""
        self.score.build(inputs_shape)
        self.built = True

    def call(self, inputs, padding_mask=None, return_attention_scores=False):
        """Returns the weighted sum."""
        weights = self.score(inputs, padding_mask=padding_mask)  # [batch, time]
        pooled = tf.einsum("bt,btu->bu", tf.cast(weights, inputs.dtype), inputs)  # [batch, units]
        return (pooled, weights[:, None, None]) if return_attention_scores else pooled

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_units": self.score.hidden_units}
