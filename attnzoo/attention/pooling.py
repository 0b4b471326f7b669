"""Attention pooling of a sequence."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import Initializer, ScoredLayer, serialized_initializer
from attnzoo.attention.position_score import PositionScore


@keras.saving.register_keras_serializable("attnzoo")
class AttentionPooling(ScoredLayer):
    """Pools a sequence into one vector: the sum of its elements with learned weights.

        w = softmax over time of E(x)        y = sum_t w_t x_t        E: see `PositionScore`

    Args:
        hidden_units: width of the tanh layer in E, 0 or more; 0 for a linear score.
        kernel_initializer: initializer of the kernels in E, or its name or config.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, units].
        padding_mask: <bool>[batch, time], True = may attend.
        return_attention_scores: also return w.
        mask, inputs_mask: padding mask that Keras passes along with the inputs, for example from
            `Embedding(mask_zero=True)`; used if there is no `padding_mask`.

    Returns:
        <float>[batch, units]; with `return_attention_scores` also <float32>[batch, 1, 1, time]. Zeros if no
        position is valid.

    Raises:
        ValueError: `hidden_units` below 0, or a padding mask of another shape.

    Examples:
        >>> layer = AttentionPooling()
        >>> pooled, weights = layer(tf.random.normal([2, 7, 16]), return_attention_scores=True)
        >>> pooled.shape, tf.reduce_sum(weights, axis=-1).numpy().round(3).ravel().tolist()
        (TensorShape([2, 16]), [1.0, 1.0])
    """

    def __init__(
        self, hidden_units: int = 0, kernel_initializer: Initializer = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.score = PositionScore(hidden_units, kernel_initializer, name="score", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Creates the weights."""
        self.score.build(inputs_shape)
        self.built = True

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the output, without that of `return_attention_scores`."""
        return (inputs_shape[0], inputs_shape[-1])

    def check_call(self, inputs, padding_mask=None, **others):
        """Checks the shape of the padding mask."""
        self.check_shape("padding_mask", padding_mask, "[batch, time]", tuple(inputs.shape)[:-1])

    def call(self, inputs, padding_mask=None, return_attention_scores=False, mask=None, inputs_mask=None):
        """Returns the weighted sum."""
        if padding_mask is None:
            padding_mask = inputs_mask if mask is None else mask
        self.check_call(inputs, padding_mask)
        weights = self.score(inputs, padding_mask=padding_mask)  # [batch, time]
        pooled = tf.einsum("bt,btu->bu", tf.cast(weights, inputs.dtype), inputs)  # [batch, units]
        return (pooled, weights[:, None, None]) if return_attention_scores else pooled

    def compute_mask(self, inputs, previous_mask=None):
        """Returns None, as the output has no time axis."""
        return

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_units": self.score.hidden_units,
            "kernel_initializer": serialized_initializer(self.score.kernel_initializer),
        }
