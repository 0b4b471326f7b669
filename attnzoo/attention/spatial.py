"""A gate over positions."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import AttentionLayer, merge_heads
from attnzoo.attention.position_score import PositionScore


@keras.saving.register_keras_serializable("attnzoo")
class SpatialGate(AttentionLayer):
    """Scales each position by how much of the attention it gets; the network behind it sees y in place of x.

        alpha = softmax over positions of E(x)        y_i = alpha_i x_i        E: see `PositionScore`

    Args:
        units: width of the input and output.
        hidden_units: width of the tanh layer in E; 0 for a linear score.
        rescale: multiply by the number of valid positions, so that even attention leaves x as it is.
            Without it y shrinks with the number of positions.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments: those of `AttentionLayer`; key and value must be left out and `causal` False.

    Returns:
        <float>[batch, query, units]; with `return_attention_scores` also alpha, <float32>[batch, 1, 1, key],
        of which the one row holds for every query.

    Raises:
        ValueError: a key or value, or `causal`, and what `AttentionLayer` raises.
    """

    supports_cross = False
    supports_causal = False

    def __init__(self, units: int, hidden_units: int = 0, rescale: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.rescale = rescale
        self.score = PositionScore(hidden_units, name="score", dtype=self.dtype_policy)

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        self.score.build(query_shape)

    def call(
        self,
        query,
        key=None,
        value=None,
        *,
        padding_mask=None,
        causal=False,
        segment_ids=None,
        training=None,
        return_attention_scores=False,
    ):
        """Scales each position by its weight."""
        if key is not None or value is not None:
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (key, value)]
            raise ValueError(
                f"{type(self).__name__} {self.name!r} weighs the positions of its query only: leave key and "
                f"value out, or use another attention. "
                f"Received: key.shape={shapes[0]}, value.shape={shapes[1]}"
            )
        return super().call(
            query,
            padding_mask=padding_mask,
            causal=causal,
            segment_ids=segment_ids,
            training=training,
            return_attention_scores=return_attention_scores,
        )

    def attend(
        self,
        query,
        memory,
        *,
        padding_mask=None,
        causal=False,
        segment_ids=None,
        position=0,
        training=None,
        return_attention_scores=False,
    ):
        """Scales the positions of the memory's value, which must come from the query."""
        if causal:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} weighs all positions at once and cannot be causal: use "
                "another attention. Received: causal=True"
            )
        if segment_ids is not None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} weighs all positions of a row at once and cannot keep "
                "packed sequences apart: leave segment_ids out."
            )
        inputs = merge_heads(memory[1])  # [batch, time, units]
        weights = self.score(inputs, padding_mask=padding_mask)  # [batch, time]
        factors = weights
        if self.rescale:
            valid = tf.ones_like(weights) if padding_mask is None else tf.cast(padding_mask, tf.float32)
            factors *= tf.reduce_sum(valid, axis=-1, keepdims=True)
        outputs = inputs * tf.cast(factors, inputs.dtype)[:, :, None]
        return (outputs, weights[:, None, None]) if return_attention_scores else outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["dropout"]
        return {**config, "hidden_units": self.score.hidden_units, "rescale": self.rescale}
