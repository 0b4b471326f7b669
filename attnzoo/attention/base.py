"""The contract of every attention layer."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from attnzoo.attention import kernel, masks
from attnzoo.attention.dropout import check_rate, drop, next_seed
from attnzoo.attention.reference import allowed_pairs, attention_scores, masked_softmax
from attnzoo.attention.terms import Segments, length, pair_of_segments, repeat_heads

Position: TypeAlias = int | tf.Tensor
"""Place in a sequence, an integer or <int>[]."""
Memory: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""Projected key <float>[batch, key_heads, key, key_dim], value <float>[batch, key_heads, key, value_dim]."""


def split_heads(tensor: tf.Tensor, num_heads: int) -> tf.Tensor:
    """Returns [batch, heads, time, dim] of [batch, time, heads * dim]."""
    batch, time, width = keras.ops.shape(tensor)
    tensor = keras.ops.reshape(tensor, [batch, time, num_heads, width // num_heads])
    return tf.transpose(tensor, [0, 2, 1, 3])


def merge_heads(tensor: tf.Tensor) -> tf.Tensor:
    """Returns [batch, time, heads * dim] of [batch, heads, time, dim]."""
    batch, heads, time, dim = keras.ops.shape(tensor)
    return keras.ops.reshape(tf.transpose(tensor, [0, 2, 1, 3]), [batch, time, heads * dim])


class AttentionLayer(keras.layers.Layer):
    """Base of the attention layers: a query looks at a memory of keys and values.

    `layer(query, key, value)` is `layer.attend(query, layer.project_memory(key, value))`. The two halves are
    public so that a decoder can keep the memory of earlier steps.

    A subclass gives `project_query`, `project_memory`, `project_output` (where it projects) and `logits`. If
    its logits are products times one number it sets `product_scale` instead of writing `logits`, and the
    compiled kernel is used, with what `kernel_terms` adds.

    Args:
        units: width of query and output.
        dropout: share of the attention weights dropped in training, in [0, 1).
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
        mask: the padding mask that Keras passes on with a query, as from `Embedding(mask_zero=True)`; used if
            there is no `padding_mask`.
        value_mask: the same of a value.

    Returns:
        <float>[batch, query, units]; with `return_attention_scores` also <float32>[batch, heads, query, key],
        rows of which sum to 1, or to 0 (with zeros as output) where there is nothing to attend to.

    Raises:
        ValueError: `units` below 1, `dropout` outside [0, 1), a query of another width than `units`, or a key
            without a value.
    """

    supports_cross = True
    """Whether query and memory may come from different sequences."""
    supports_causal = True
    """Whether `causal` is allowed."""
    weighs_positions = True
    """Whether the scores are weights of positions, not of channels."""
    product_scale: float | None = None
    """Factor of query key^T, where that is what `logits` are."""

    def __init__(self, units: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = check_positive("units", units)
        self.dropout = check_rate(dropout)

    @property
    def needs_order(self) -> bool:
        """Whether scores depend on where in the memory a key lies, so that its keys must lie in order."""
        return False

    @property
    def memory_dims(self) -> tuple[int, int, int]:
        """Heads, key_dim and value_dim of a memory."""
        return (1, self.units, self.units)

    def build(self, query_shape, key_shape=None, value_shape=None):
        """Creates the weights; a memory has the width of the query unless its shapes say otherwise."""
        if query_shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the query must have {self.units} features (`units`). "
                f"Received: query_shape={tuple(query_shape)}"
            )
        value_shape = value_shape or query_shape
        self.build_projections(query_shape, key_shape or value_shape, value_shape)
        # Made here and named: the path of its state must not depend on what else the process has built.
        self.seed_generator = keras.random.SeedGenerator(name="seed") if self.dropout > 0 else None
        self.built = True

    def build_projections(self, query_shape, key_shape, value_shape) -> None:
        """Builds the sublayers."""

    def project_query(self, query: tf.Tensor, position: Position = 0) -> tf.Tensor:
        """Returns <float>[batch, heads, query, key_dim] of <float>[batch, query, units].

        Args:
            query: <float>[batch, query, units].
            position: of the first query in its sequence; matters where rotation marks positions.
        """
        return self.one_head(query)

    def project_memory(self, key: tf.Tensor, value: tf.Tensor, position: Position = 0) -> Memory:
        """Returns key <float>[batch, heads, key, key_dim] and value <float>[batch, heads, key, value_dim].

        Args:
            key: <float>[batch, key, features].
            value: <float>[batch, key, features].
            position: of the first key in its sequence.
        """
        return self.one_head(key), self.one_head(value)

    def kernel_terms(
        self, query_length: int | tf.Tensor, key_length: int | tf.Tensor, position: Position
    ) -> dict[str, Any]:
        """Returns further arguments of `kernel.attention`, such as a window or a bias."""
        return {}

    def logits(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Returns <float32>[batch, heads, query, key] of a projected query and key, before the softmax."""
        raise NotImplementedError

    def project_output(self, context: tf.Tensor) -> tf.Tensor:
        """Returns <float>[batch, query, units] of <float>[batch, heads, query, value_dim]."""
        return merge_heads(context)

    def attend(
        self,
        query: tf.Tensor,
        memory: Memory,
        *,
        padding_mask: tf.Tensor | None = None,
        causal: bool = False,
        segment_ids: Segments | None = None,
        pair_mask: tf.Tensor | None = None,
        position: Position = 0,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ):
        """Looks at a memory that `project_memory` made. Arguments and results are those of the call.

        `position` is where the first query stands among the keys: 0, or the number of steps so far in a
        decoder that keeps the memory of earlier steps. `pair_mask` <bool>[batch, query, key] is True where
        this query may attend to this key; layers that need the order of their keys do not take it.
        """
        key, value = memory
        projected = self.project_query(query, position)  # [batch, heads, query, key_dim]
        rate = self.dropout if training else 0.0
        seed = next_seed(self.seed_generator) if rate > 0 else None
        seen: dict[str, Any] = {"padding_mask": padding_mask, "segment_ids": segment_ids, "causal": causal}
        if self.product_scale is not None:
            seen |= {"align": position, "scale": self.product_scale}
            if pair_mask is not None:
                seen["bias"] = tf.where(pair_mask, 0.0, -float("inf"))[:, None]
            seen |= self.kernel_terms(length(projected), length(key), position)
            if not return_attention_scores:
                context = kernel.attention(projected, key, value, dropout=rate, seed=seed, **seen)
                return self.project_output(context)
            scores = attention_scores(projected, key, **seen)  # [batch, heads, query, key]
        else:
            seen["segments"] = pair_of_segments(seen.pop("segment_ids"))
            distance = masks.distances(length(projected), length(key), position)
            allowed = masks.combine(
                allowed_pairs(distance, **seen), None if pair_mask is None else pair_mask[:, None]
            )
            scores = masked_softmax(self.logits(projected, key), allowed)
        weights = tf.cast(scores if seed is None else drop(scores, rate, seed), value.dtype)
        value = repeat_heads(value, weights.shape[1])
        output = self.project_output(tf.einsum("bhqk,bhkd->bhqd", weights, value))  # [batch, query, units]
        return (output, scores) if return_attention_scores else output

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
        value_mask=None,
    ):
        """Projects the memory and attends to it."""
        if padding_mask is None:
            padding_mask = mask if value is None else value_mask
        if key is not None and value is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: a key needs a value; the key alone may be "
                f"left out. Received: key.shape={tuple(key.shape)}, value=None"
            )
        value = query if value is None else value
        return self.attend(
            query,
            self.project_memory(value if key is None else key, value),
            padding_mask=padding_mask,
            causal=causal,
            segment_ids=segment_ids,
            training=training,
            return_attention_scores=return_attention_scores,
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}

    def _projection(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        return keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)

    def one_head(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns <float>[batch, 1, time, units] of an unprojected tensor, in the type of the computation."""
        return split_heads(tf.cast(tensor, self.compute_dtype), 1)

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
