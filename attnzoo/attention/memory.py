"""Attention of queries to a memory of keys and values, and softmax attention in particular."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from attnzoo.attention import kernel, masks
from attnzoo.attention.arguments import AttentionArguments, Segments, segment_pair
from attnzoo.attention.base import AttentionLayer
from attnzoo.attention.dropout import check_rate, drop, next_seed
from attnzoo.attention.shapes import length, merge_heads, repeat_heads

Position: TypeAlias = int | tf.Tensor
"""Position in a sequence, an integer or <int>[]."""
Memory: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""Projected key <float>[batch, key_heads, key, key_dim], value <float>[batch, key_heads, key, value_dim]."""


class MemoryAttention(AttentionLayer):
    """Base class of layers in which queries attend to a memory of keys and values.

    `layer(query, value, key)` is `layer.attend(query, layer.project_memory(key, value))`. Both steps are
    public so that a decoder can cache the memory of earlier steps.

    A subclass implements `attend` and, if it has projections, `project_query`, `project_memory`,
    `project_output` and `memory_dims`.

    Args, call arguments, returns: those of `AttentionLayer`.

    Raises:
        ValueError: see `AttentionLayer`.
    """

    supports_cross = True
    supports_causal = True

    @property
    def memory_dims(self) -> tuple[int, int, int]:
        """Number of heads, key_dim and value_dim of a memory."""
        return (1, self.units, self.units)

    def project_query(self, query: tf.Tensor, position: Position = 0) -> tf.Tensor:
        """Projects the query to <float>[batch, heads, query, key_dim].

        Args:
            query: <float>[batch, query, units].
            position: position of the first query in its sequence; used by rotary position embedding.
        """
        return self.as_single_head(query)

    def project_memory(self, key: tf.Tensor, value: tf.Tensor, position: Position = 0) -> Memory:
        """Returns key <float>[batch, heads, key, key_dim] and value <float>[batch, heads, key, value_dim].

        Args:
            key: <float>[batch, key, features].
            value: <float>[batch, key, features].
            position: position of the first key in its sequence.
        """
        return self.as_single_head(key), self.as_single_head(value)

    def project_output(self, context: tf.Tensor) -> tf.Tensor:
        """Projects <float>[batch, heads, query, value_dim] to <float>[batch, query, units]."""
        return merge_heads(context)

    def attend(
        self,
        query: tf.Tensor,
        memory: Memory,
        *,
        padding_mask: tf.Tensor | None = None,
        attention_mask: tf.Tensor | None = None,
        use_causal_mask: bool = False,
        segment_ids: Segments | None = None,
        position: Position = 0,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ):
        """Attends to a memory made by `project_memory`. Other arguments and results are those of the call.

        `position` is the position of the first query among the keys: 0, or the number of previous steps in a
        decoder that caches the memory of earlier steps.
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
        """Projects the memory and attends to it."""
        masks_of_keras = {"query_mask": query_mask, "key_mask": key_mask, "value_mask": value_mask}
        self.check_call(query, value, key, mask=mask, **masks_of_keras)
        if padding_mask is None and value is None:
            padding_mask = query_mask if mask is None else mask
        elif padding_mask is None:
            padding_mask = masks.combine(key_mask, value_mask)
        value = query if value is None else value
        return self.attend(
            query,
            self.project_memory(value if key is None else key, value),
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            segment_ids=segment_ids,
            training=training,
            return_attention_scores=return_attention_scores,
        )


class SoftmaxAttention(MemoryAttention):
    """Base class of layers that weight values by a softmax over the keys.

    A subclass implements `logits`. If its logits are query key^T times a constant, it sets `product_scale`
    instead and uses the compiled kernel; `kernel_arguments` may add arguments.

    Args:
        units: width of query and output, 1 or more.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`.

    Raises:
        ValueError: `dropout` outside [0, 1); also raises what `MemoryAttention` raises.
    """

    product_scale: float | None = None
    """Factor of query key^T if the logits are scaled products; otherwise None."""

    def __init__(self, units: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.dropout = check_rate(dropout)

    def build(self, query_shape, value_shape=None, key_shape=None):
        """Creates the variables. Value and key default to the width of the query."""
        super().build(query_shape, value_shape, key_shape)
        # Created here and named, so that its variable path does not depend on layers built earlier.
        self.seed_generator = keras.random.SeedGenerator(name="seed") if self.dropout > 0 else None

    def kernel_arguments(
        self,
        arguments: AttentionArguments,
        query_length: int | tf.Tensor,
        key_length: int | tf.Tensor,
        position: Position,
    ) -> AttentionArguments:
        """Returns the kernel's arguments with those that the layer adds, such as a window or a bias."""
        return arguments

    def logits(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Returns the attention logits <float32>[batch, heads, query, key] of a projected query and key."""
        raise NotImplementedError

    def attend(
        self,
        query,
        memory,
        *,
        padding_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        segment_ids=None,
        position=0,
        training=None,
        return_attention_scores=False,
    ):
        """Attends to a memory made by `project_memory`; see `MemoryAttention.attend`."""
        key, value = memory
        self.check_masks(query, key.shape[2], padding_mask, attention_mask, segment_ids)
        pairs = None if attention_mask is None else masks.as_pair_mask(attention_mask)
        projected = self.project_query(query, position)  # [batch, heads, query, key_dim]
        rate = self.dropout if training else 0.0
        seed = next_seed(self.seed_generator, tf.shape(query)[0]) if rate > 0 else None
        if self.product_scale is not None:
            arguments = AttentionArguments(
                padding_mask=padding_mask,
                attention_mask=pairs,
                segment_ids=segment_ids,
                causal=use_causal_mask,
                align=position,
                scale=self.product_scale,
            )
            arguments = self.kernel_arguments(arguments, length(projected), length(key), position)
            if not return_attention_scores:
                arguments = arguments._replace(dropout=rate, seed=seed)
                context, _ = kernel.compute_attention(projected, key, value, arguments)
                return self.project_output(context)
            attention_weights = kernel.compute_attention_weights(projected, key, arguments)
        else:
            allowed = masks.allowed_pairs(
                masks.distances(length(projected), length(key), position),
                padding_mask=padding_mask,
                segments=segment_pair(segment_ids),
                causal=use_causal_mask,
            )
            allowed = masks.combine(allowed, pairs)
            attention_weights = masks.masked_softmax(self.logits(projected, key), allowed)
        weights = attention_weights if seed is None else drop(attention_weights, rate, seed)
        weights = tf.cast(weights, value.dtype)  # [batch, heads, query, key]
        value = repeat_heads(value, weights.shape[1])
        output = self.project_output(tf.einsum("bhqk,bhkd->bhqd", weights, value))  # [batch, query, units]
        return (output, attention_weights) if return_attention_scores else output

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "dropout": self.dropout}
