"""The contract of every attention layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.shapes import split_heads


class ScoredLayer(keras.layers.Layer):
    """Base of the layers whose call takes `return_attention_scores`."""

    @property
    def weighs_positions(self) -> bool:
        """Whether these scores are weights of the positions of the input, not of its channels."""
        return True


class AttentionLayer(ScoredLayer):
    """Base of the attention layers.

    A subclass gives `call` and, where it has sublayers, `build_projections`.

    Args:
        units: width of query and output.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        query: <float>[batch, query, units].
        key: <float>[batch, key, units]; `value` if None.
        value: <float>[batch, key, units]; `query` if None.
        padding_mask: <bool>[batch, key], True = may attend.
        causal: a query sees the keys up to its own position only.
        segment_ids: <int>[batch, time] for packed sequences, which then do not see each other; a pair of
            tensors if query and key differ.
        training: whether dropout is active.
        return_attention_scores: also return the weights, before dropout.
        mask, query_mask: the padding mask that Keras passes on with a query, as from
            `Embedding(mask_zero=True)`; used if there is no `padding_mask`, and no value.
        key_mask, value_mask: the same of a key and of a value; only what both allow is attended to.

    Returns:
        <float>[batch, query, units]; with `return_attention_scores` also <float32>[batch, heads, query, key],
        rows of which sum to 1, or to 0 (with zeros as output) where there is nothing to attend to.

    Raises:
        ValueError: `units` below 1, or a query of another width than `units`.
    """

    supports_cross = False
    """Whether query and key may come from different sequences."""
    supports_causal = False
    """Whether `causal` is allowed."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = check_positive("units", units)

    @property
    def needs_order(self) -> bool:
        """Whether scores depend on where a key lies, so that keys must lie in order."""
        return False

    def build(self, query_shape, key_shape=None, value_shape=None):
        """Creates the weights; key and value are as wide as the query unless their shapes say otherwise."""
        if query_shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the query must have {self.units} features (`units`). "
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

    def one_head(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns <float>[batch, 1, time, units] of an unprojected tensor, in the type of the computation."""
        return split_heads(tf.cast(tensor, self.compute_dtype), 1)

    def _projection(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        return keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)

    def _check_width(self, name: str, shape) -> None:
        """Checks that a tensor that is used as it is has `units` features."""
        if shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the {name} is not projected, so it must have "
                f"{self.units} features (`units`). Received: {name}_shape={tuple(shape)}"
            )


def check_positive(name: str, number: int, least: int = 1) -> int:
    """Returns `number` if it is an integer of at least `least`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(number, int) or number < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={number!r}")
    return number
