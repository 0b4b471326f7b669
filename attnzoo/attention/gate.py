"""Base classes of the gates."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
import tensorflow as tf

from attnzoo.attention.base import AttentionLayer, check_positive, shape_of_query, static_shape
from attnzoo.attention.precision import at_least_float32


class Gate(AttentionLayer):
    """Base class of gates: layers that scale their input by factors computed from all of it.

    A subclass implements `gate`. A gate uses all positions of one sequence or feature map at once, so it has
    no cross-attention, no causal mode and no packed sequences.

    Args:
        units: width of the input and output.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments:
        query: <float>[batch, time, units] or a feature map <float>[batch, height, width, units].
        padding_mask: <bool>, the shape of the query without its last axis, False at padding. Masked positions
            are ignored and become zeros.
        return_attention_scores: also return the scale factors.
        mask, query_mask: padding mask that Keras passes along with the query, used if there is no
            `padding_mask`.
        value, key, attention_mask, use_causal_mask, segment_ids: refused, as a gate has no pairs of query and
            key.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also <float32>[batch, 1, 1, size].

    Raises:
        ValueError: the query does not have 3 or 4 axes, or an argument that is not supported is given; also
            raises what `AttentionLayer` raises.
    """

    query_axes: ClassVar[dict[int, str]] = {**AttentionLayer.query_axes, 4: "[batch, height, width, units]"}

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
        value=None,
        key=None,
        *,
        padding_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        segment_ids=None,
        training=None,
        return_attention_scores=False,
        mask=None,
        query_mask=None,
        key_mask=None,
        value_mask=None,
    ):
        """Scales the query."""
        self.check_call(
            query,
            value,
            key,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            segment_ids=segment_ids,
            mask=mask,
            query_mask=query_mask,
        )
        if padding_mask is None:
            padding_mask = query_mask if mask is None else mask
        if padding_mask is None:
            valid = tf.ones_like(query[..., :1], tf.bool)
        else:
            valid = tf.cast(padding_mask, tf.bool)[..., None]
            query = tf.where(valid, query, tf.zeros_like(query))
        outputs, attention_weights = self.gate(query, valid)
        return (outputs, attention_weights) if return_attention_scores else outputs

    def check_call(
        self,
        query,
        value=None,
        key=None,
        *,
        padding_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        segment_ids=None,
        mask=None,
        query_mask=None,
        **others,
    ):
        """Refuses what a gate cannot do, and masks of the wrong shape."""
        layer = f"{type(self).__name__} {self.name!r}"
        if key is not None or value is not None:
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (value, key)]
            raise ValueError(
                f"{layer} only uses its query: omit value and key, or use another attention mechanism. "
                f"Received: value.shape={shapes[0]}, key.shape={shapes[1]}"
            )
        if use_causal_mask:
            raise ValueError(
                f"{layer} uses all positions at once and cannot be causal: use another attention mechanism. "
                "Received: use_causal_mask=True"
            )
        for name, what, tensor in (
            ("attention_mask", "mask pairs of query and key", attention_mask),
            ("segment_ids", "separate packed sequences", segment_ids),
        ):
            if tensor is not None:
                one = tensor[0] if isinstance(tensor, tuple) else tensor
                raise ValueError(
                    f"{layer} uses all positions at once and cannot {what}: omit {name}, or use another "
                    f"attention mechanism. Received: {name}.shape={static_shape(one)}"
                )
        self.check_query(shape_of_query(query))
        positions = tuple(query.shape)[:-1]
        axes = self.query_axes[len(positions) + 1].replace(", units", "")
        for name, given in (("padding_mask", padding_mask), ("mask", mask), ("query_mask", query_mask)):
            self.check_shape(name, given, axes, positions)


class ChannelGate(Gate):
    """Base class of gates that scale each channel by a factor computed by a small network E.

        E(z) = W_2 relu(W_1 z + b_1) + b_2

    Args:
        units: width of the input and output, the number of channels.
        ratio: reduction ratio, 1 or more: the relu layer has units / ratio units, rounded down, at least 1.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Raises:
        ValueError: `ratio` below 1; also raises what `Gate` raises.
    """

    def __init__(self, units: int, ratio: int = 16, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.ratio = check_positive("ratio", ratio)
        self.squeeze_projection = self._projection(max(1, units // ratio), "squeeze")
        self.excite_projection = self._projection(units, "excite")

    def build_projections(self, query_shape, value_shape, key_shape):
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
    batch, *positions, features = keras.ops.shape(tensor)
    # Not -1, whose size is unknown without examples.
    return keras.ops.reshape(tensor, [batch, math.prod(positions), features])


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
