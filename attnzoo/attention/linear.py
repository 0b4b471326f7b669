"""Attention whose time and memory grow linearly with the length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention import masks
from attnzoo.attention.arguments import segment_pair
from attnzoo.attention.base import check_positive
from attnzoo.attention.memory import MemoryAttention
from attnzoo.attention.options import MechanismOptions, head_problems
from attnzoo.attention.precision import at_least_float32
from attnzoo.attention.shapes import length, merge_heads, split_heads
from attnzoo.config.base import PositiveInt, Problem

CHUNK = 64
"""Number of queries whose weights are computed explicitly at a time."""


class Config(MechanismOptions):
    """Options of `LinearAttention`."""

    name: Literal["linear"] = Field(
        "linear",
        description="Multi-head attention with elu + 1 in place of the softmax; time and memory are "
        "linear in the length.",
    )
    num_heads: PositiveInt = Field(
        4, description="Number of attention heads; must divide the width of the model."
    )

    def problems(self, units: int) -> Iterator[Problem]:
        """Yields heads that do not divide the width."""
        yield from head_problems(units, self.num_heads)


@keras.saving.register_keras_serializable("attnzoo")
class LinearAttention(MemoryAttention):
    """Multi-head linear attention: weights are products of positive features instead of a softmax.

        output_i = sum_k (phi(Q_i) . phi(K_k)) V_k / sum_k (phi(Q_i) . phi(K_k))        phi(x) = elu(x) + 1
                 = phi(Q_i) . [sum_k phi(K_k) V_k^T] / phi(Q_i) . [sum_k phi(K_k)]

    in each head, with projections as in `MultiHeadAttention`. The sums in brackets are the same for all
    queries, so nothing of size query x key is materialized; a causal call uses running sums over chunks of
    positions (`causal_sums`). The weights are computed explicitly, at a cost of query x key, for few queries,
    for causal queries that do not start at 0 (`position`), for `segment_ids` and `attention_mask`, and to
    return them.

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads, 1 or more.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; key and value may have any width.

    Raises:
        ValueError: `units` is not a multiple of `num_heads`; also raises what `MemoryAttention` raises.

    Reference: Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236

    Examples:
        >>> layer = LinearAttention(units=16, num_heads=2)
        >>> layer(tf.random.normal([2, 500, 16]), use_causal_mask=True).shape
        TensorShape([2, 500, 16])
    """

    def __init__(self, units: int, num_heads: int = 4, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.num_heads = check_positive("num_heads", num_heads)
        if units % num_heads:
            raise ValueError(
                f"`units` must be a multiple of `num_heads`. Received: units={units}, num_heads={num_heads}"
            )
        self.query_projection = self._projection(units, "query")
        self.key_projection = self._projection(units, "key")
        self.value_projection = self._projection(units, "value")
        self.output_projection = self._projection(units, "output")

    @property
    def memory_dims(self):
        """Number of heads, key_dim and value_dim of a memory."""
        return (self.num_heads, self.units // self.num_heads, self.units // self.num_heads)

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(value_shape)
        self.output_projection.build(query_shape)

    def project_query(self, query, position=0):
        """Returns <float>[batch, heads, query, dim]."""
        return split_heads(self.query_projection(query), self.num_heads)

    def project_memory(self, key, value, position=0):
        """Returns key and value, each <float>[batch, heads, key, dim]."""
        key, value = self.key_projection(key), self.value_projection(value)
        return split_heads(key, self.num_heads), split_heads(value, self.num_heads)

    def project_output(self, context):
        """Returns <float>[batch, query, units]."""
        return self.output_projection(merge_heads(context))

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
        self.check_masks(query, memory[0].shape[2], padding_mask, attention_mask, segment_ids)
        projected = positive_features(self.project_query(query, position))  # [batch, heads, query, dim]
        key, value = positive_features(memory[0]), at_least_float32(memory[1])
        if padding_mask is not None:
            key = tf.where(tf.cast(padding_mask, tf.bool)[:, None, :, None], key, 0.0)
        # With a column of ones, the products that sum the weighted values also sum the weights.
        value = tf.concat([value, tf.ones_like(value[..., :1])], axis=-1)  # [batch, heads, key, dim + 1]
        queries = length(projected)
        is_short = isinstance(queries, int) and queries <= CHUNK
        has_offset = use_causal_mask and not (isinstance(position, int) and position == 0)
        is_masked = segment_ids is not None or attention_mask is not None
        if is_short or has_offset or is_masked or return_attention_scores:
            weights = tf.einsum("bhqd,bhkd->bhqk", projected, key)
            segments = segment_pair(segment_ids)
            distance = masks.distances(queries, length(key), position)
            allowed = masks.combine(
                masks.allowed_pairs(distance, segments=segments, causal=use_causal_mask),
                None if attention_mask is None else masks.as_pair_mask(attention_mask),
            )
            weights = weights if allowed is None else tf.where(allowed, weights, 0.0)
            sums = tf.einsum("bhqk,bhkv->bhqv", weights, value)
        elif use_causal_mask:
            sums = causal_sums(projected, key, value, CHUNK)
        else:
            sums = tf.einsum("bhqd,bhdv->bhqv", projected, tf.einsum("bhkd,bhkv->bhdv", key, value))
        weight_sums = sums[..., -1:]  # [batch, heads, query, 1]
        context = tf.cast(tf.math.divide_no_nan(sums[..., :-1], weight_sums), self.compute_dtype)
        output = self.project_output(context)
        return (output, tf.math.divide_no_nan(weights, weight_sums)) if return_attention_scores else output

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}


def positive_features(inputs: tf.Tensor) -> tf.Tensor:
    """Returns phi(x) = elu(x) + 1, <float32> (<float64> for <float64>) of the same shape."""
    inputs = at_least_float32(inputs)
    # exp(x) instead of elu(x) + 1, which rounds to 0 for x below -17.
    return tf.where(inputs > 0, inputs + 1, tf.exp(tf.minimum(inputs, 0.0)))


def causal_sums(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, chunk: int) -> tf.Tensor:
    """Sums the values up to each query's position, weighted by the product of query and key.

        output_i = sum_{k <= i} (query_i . key_k) value_k

    Queries and keys are split into chunks. Within its own chunk, a query weights the keys one by one; the
    previous chunks are summarized in a running sum of key_k value_k^T.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, heads, key, dim], of any length; key 0 is at the position of query 0.
        value: <float>[batch, heads, key, value_dim].
        chunk: number of positions in a chunk, 1 or more.

    Returns:
        <float>[batch, heads, query, value_dim].
    """
    queries = length(query)
    query, key, value = (_split_into_chunks(tensor, queries, chunk) for tensor in (query, key, value))
    weights = tf.einsum("bhcqd,bhckd->bhcqk", query, key)
    weights = tf.where(masks.causal_mask(chunk, chunk), weights, tf.zeros_like(weights))
    earlier = tf.cumsum(tf.einsum("bhckd,bhckv->bhcdv", key, value), axis=2, exclusive=True)
    sums = tf.einsum("bhcqk,bhckv->bhcqv", weights, value) + tf.einsum("bhcqd,bhcdv->bhcqv", query, earlier)
    batch, heads, chunks, _, dim = keras.ops.shape(sums)
    return keras.ops.reshape(sums, [batch, heads, chunks * chunk, dim])[:, :, :queries]


def _split_into_chunks(tensor: tf.Tensor, time: int | tf.Tensor, chunk: int) -> tf.Tensor:
    """Reshapes the first `time` positions to [batch, heads, chunks, chunk, dim], padded with zeros."""
    tensor = tensor[:, :, :time]
    batch, heads, num_positions, dim = keras.ops.shape(tensor)
    chunks = -(-time // chunk)
    padded = tf.pad(tensor, [[0, 0], [0, 0], [0, chunks * chunk - num_positions], [0, 0]])
    return keras.ops.reshape(padded, [batch, heads, chunks, chunk, dim])
