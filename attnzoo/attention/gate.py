"""Base classes of the gates."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import AttentionLayer, check_positive
from attnzoo.attention.precision import at_least_float32


class Gate(AttentionLayer):
    """Base class of gates: layers that scale their input by factors computed from all of it.

    A subclass implements `gate`. A gate uses all positions of one sequence or feature map at once, so it has
    no cross-attention, no causal mode and no packed sequences.

    Args:
        units: width of the input and output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        query: <float>[batch, time, units] or a feature map <float>[batch, height, width, units].
        padding_mask: <bool>, the shape of the query without its last axis, False at padding. Masked positions
            are ignored and become zeros.
        return_attention_scores: also return the scale factors.
        key, value, causal, segment_ids: not supported.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also <float32>[batch, 1, 1, size].

    Raises:
        ValueError: the query does not have 3 or 4 axes, or a key, value, `causal` or `segment_ids` is given;
            also raises what `AttentionLayer` raises.
    """

    def build(self, query_shape, key_shape=None, value_shape=None):
        """Creates the variables."""
        if len(query_shape) not in (3, 4):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} takes [batch, time, units] or "
                f"[batch, height, width, units]. Received: query_shape={tuple(query_shape)}"
            )
        super().build(query_shape)

    def gate(self, inputs: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scaled inputs and the attention scores, <float32>[batch, 1, 1, size].

        Args:
            inputs: <float>[batch, position..., units] with one or two position axes, zeros where masked.
            valid: <bool>[batch, position..., 1], False where masked.
        """
        raise NotImplementedError

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
        mask=None,
        query_mask=None,
        key_mask=None,
        value_mask=None,
    ):
        """Scales the query."""
        self._check_unsupported(key, value, causal, segment_ids)
        if padding_mask is None:
            padding_mask = query_mask if mask is None else mask
        if padding_mask is None:
            valid = tf.ones_like(query[..., :1], tf.bool)
        else:
            valid = tf.cast(padding_mask, tf.bool)[..., None]
            query = tf.where(valid, query, tf.zeros_like(query))
        outputs, attention_weights = self.gate(query, valid)
        return (outputs, attention_weights) if return_attention_scores else outputs

    def _check_unsupported(self, key, value, causal, segment_ids) -> None:
        layer = f"{type(self).__name__} {self.name!r}"
        if key is not None or value is not None:
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (key, value)]
            raise ValueError(
                f"{layer} only uses its query: omit key and value, or use another attention mechanism. "
                f"Received: key.shape={shapes[0]}, value.shape={shapes[1]}"
            )
        if causal:
            raise ValueError(
                f"{layer} uses all positions at once and cannot be causal: use another attention mechanism. "
                "Received: causal=True"
            )
        if segment_ids is not None:
            ids = segment_ids[0] if isinstance(segment_ids, tuple) else segment_ids
            raise ValueError(
                f"{layer} uses all positions at once and cannot separate packed sequences: omit "
                "segment_ids, or use another attention mechanism. "
                f"Received: segment_ids.shape={tuple(ids.shape)}"
            )


class ChannelGate(Gate):
    """Base class of gates that scale each channel by a factor computed by a small network E.

        E(z) = W_2 relu(W_1 z + b_1) + b_2

    Args:
        units: width of the input and output, the number of channels.
        ratio: reduction ratio, 1 or more: the relu layer has units / ratio units, rounded down, at least 1.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `ratio` below 1; also raises what `Gate` raises.
    """

    def __init__(self, units: int, ratio: int = 16, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.ratio = check_positive("ratio", ratio)
        self.squeeze_projection = self._projection(max(1, units // ratio), "squeeze")
        self.excite_projection = self._projection(units, "excite")

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        self.squeeze_projection.build(query_shape)
        self.excite_projection.build((*query_shape[:-1], self.squeeze_projection.units))

    def excite(self, pooled: tf.Tensor) -> tf.Tensor:
        """Returns E(pooled), <float32> of the same shape."""
        return at_least_float32(self.excite_projection(tf.nn.relu(self.squeeze_projection(pooled))))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "ratio": self.ratio}


def flatten_positions(tensor: tf.Tensor) -> tf.Tensor:
    """Reshapes [batch, position..., features] to [batch, positions, features]."""
    return keras.ops.reshape(tensor, [keras.ops.shape(tensor)[0], -1, tensor.shape[-1]])


def mean_over_positions(inputs: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the valid positions, <float32>[batch, 1..., units]; 0 if there is none.

    Args:
        inputs: <float>[batch, position..., units], zeros where not valid.
        valid: <bool>[batch, position..., 1].
    """
    axes = list(range(1, inputs.shape.rank - 1))
    inputs = at_least_float32(inputs)
    total, count = (
        tf.reduce_sum(tf.cast(tensor, inputs.dtype), axes, keepdims=True) for tensor in (inputs, valid)
    )
    return tf.math.divide_no_nan(total, count)
