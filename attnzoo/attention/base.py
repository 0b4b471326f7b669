"""The interface of every attention layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.shapes import split_heads


class ScoredLayer(keras.layers.Layer):
    """Base class of layers whose call accepts `return_attention_scores`."""

    @property
    def weighs_positions(self) -> bool:
        """Whether the attention scores weight positions of the input, not channels."""
        return True


class AttentionLayer(ScoredLayer):
    """Base class of the attention layers.

    A subclass implements `call` and, if it has sublayers, `build_projections`.

    Args:
        units: width of query and output, 1 or more.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        query: <float>[batch, query, units].
        key: <float>[batch, key, units]; `value` if None.
        value: <float>[batch, key, units]; `query` if None.
        padding_mask: <bool>[batch, key], True = may attend.
        causal: whether a query attends only to keys up to its own position.
        segment_ids: <int>[batch, time], ids of packed sequences, which do not attend to each other; a pair of
            tensors if query and key differ.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights, before dropout.
        mask, query_mask: padding mask that Keras passes along with a query, for example from
            `Embedding(mask_zero=True)`; used if neither `padding_mask` nor a value is given.
        key_mask, value_mask: the same for a key and a value; a position must be allowed by both.

    Returns:
        <float>[batch, query, units]; with `return_attention_scores` also <float32>[batch, heads, query, key],
        whose rows sum to 1. A query with nothing to attend to has weights and outputs of 0.

    Raises:
        ValueError: `units` below 1, or the query is not `units` wide.

    Examples:
        A new attention layer works in every block of `attnzoo.layers`:

        >>> class UniformAttention(AttentionLayer):
        ...     def call(self, query, key=None, value=None, **arguments):
        ...         return tf.ones_like(query) * tf.reduce_mean(query, axis=1, keepdims=True)
        >>> UniformAttention(units=2)(tf.constant([[[1.0, 2.0], [3.0, 4.0]]])).numpy().tolist()
        [[[2.0, 3.0], [2.0, 3.0]]]
    """

    supports_cross = False
    """Whether query and key may come from different sequences."""
    supports_causal = False
    """Whether `causal=True` is supported."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = check_positive("units", units)

    @property
    def needs_order(self) -> bool:
        """Whether attention depends on the positions of the keys, so that keys must be in order."""
        return False

    def build(self, query_shape, key_shape=None, value_shape=None):
        """Creates the variables. Key and value default to the width of the query."""
        if query_shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the query must be {self.units} wide (`units`). "
                f"Received: query_shape={tuple(query_shape)}"
            )
        value_shape = value_shape or query_shape
        self.build_projections(query_shape, key_shape or value_shape, value_shape)
        self.built = True

    def build_projections(self, query_shape, key_shape, value_shape) -> None:
        """Builds the sublayers."""

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.units}

    def as_single_head(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns an unprojected tensor as <float>[batch, 1, time, units] in the compute dtype."""
        return split_heads(tf.cast(tensor, self.compute_dtype), 1)

    def _projection(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        return keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)

    def _check_width(self, name: str, shape) -> None:
        """Checks that a tensor that is not projected is `units` wide."""
        if shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the {name} is not projected, so it must be "
                f"{self.units} wide (`units`). Received: {name}_shape={tuple(shape)}"
            )


def check_positive(name: str, number: int, minimum: int = 1) -> int:
    """Returns `number` after checking that it is an integer of at least `minimum`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(number, int) or number < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={number!r}")
    return number
