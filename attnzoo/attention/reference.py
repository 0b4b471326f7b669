"""The reference implementation of scaled dot-product attention: plain einsum, with all logits in memory."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.dropout import drop
from attnzoo.attention.precision import half_product, uses_half_products
from attnzoo.attention.shapes import length, repeat_heads


def masked_logits(
    inputs: AttentionInputs, rows: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the logits and their mask.

    Args:
        inputs: the call.
        rows: <int32>[row], indices of the queries; None for all.

    Returns:
        Logits <float32>[batch, heads, row, key] (<float64> for <float64>), with a sink as one more key; and
        the mask, <bool> that broadcasts to the logits, or None if every pair is allowed.
    """
    arguments = inputs.arguments
    dtype = tf.float64 if inputs.query.dtype == tf.float64 else tf.float32
    queries, keys = length(inputs.query), length(inputs.key)
    index = tf.range(queries) if rows is None else rows  # [row]

    def select_rows(tensor, axis):
        is_whole = rows is None or tensor is None or tensor.shape[axis] == 1
        return tensor if is_whole else tf.gather(tensor, rows, axis=axis)

    half = uses_half_products(inputs.query.dtype)
    product_dtype = inputs.query.dtype if half else dtype
    query, key = tf.cast(select_rows(inputs.query, 2), product_dtype), tf.cast(inputs.key, product_dtype)
    key = repeat_heads(key, query.shape[1])
    if half:
        logits = half_product(query, tf.linalg.matrix_transpose(key))
    else:
        logits = tf.einsum("bhqd,bhkd->bhqk", query, key)
    logits *= inputs.scale  # [batch, heads, row, key]
    finite = None
    if arguments.bias is not None:
        bias = tf.cast(select_rows(arguments.bias, 2), dtype)
        finite = bias > -float("inf")
        logits += tf.where(finite, bias, tf.zeros([], dtype))
    distance = tf.range(keys)[None, :] - (index + inputs.start)[:, None]  # [row, key]
    if arguments.distance_bias is not None:
        # Entry 0 is for the last query and the first key.
        entry = tf.range(keys)[None, :] - index[:, None] + queries - 1
        logits += tf.gather(tf.cast(arguments.distance_bias, dtype), entry, axis=1)  # [heads, row, key]
    if arguments.alibi_slopes is not None:
        logits -= tf.cast(arguments.alibi_slopes, dtype)[:, None, None] * tf.cast(tf.abs(distance), dtype)
    if arguments.soft_cap is not None:
        logits = arguments.soft_cap * tf.tanh(logits / arguments.soft_cap)
    segments = inputs.segments
    allowed = masks.allowed_pairs(
        distance,
        padding_mask=arguments.padding_mask,
        segments=None if segments is None else (select_rows(segments[0], 1), segments[1]),
        causal=arguments.causal,
        window=inputs.window,
    )
    allowed = masks.combine(allowed, select_rows(arguments.attention_mask, 2), finite)
    if arguments.sink is None:
        return logits, allowed
    sink = tf.zeros_like(logits[..., :1]) + tf.cast(arguments.sink, dtype)[:, None, None]
    if allowed is not None:
        allowed = tf.broadcast_to(allowed, tf.shape(logits))
        allowed = tf.concat([allowed, tf.ones_like(allowed[..., :1])], axis=-1)
    return tf.concat([logits, sink], axis=-1), allowed


def attend(inputs: AttentionInputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
    logits, allowed = masked_logits(inputs)
    weights = masks.masked_softmax(logits, allowed)[..., : length(inputs.key)]  # without the sink
    if inputs.rng_key is not None:
        weights = drop(weights, inputs.arguments.dropout, inputs.rng_key)
    half = uses_half_products(inputs.value.dtype)
    value = inputs.value if half else tf.cast(inputs.value, weights.dtype)
    value = repeat_heads(value, inputs.query.shape[1])
    output = half_product(weights, value) if half else tf.einsum("bhqk,bhkd->bhqd", weights, value)
    output = tf.cast(output, inputs.value.dtype)
    if allowed is None:
        return output, tf.reduce_logsumexp(logits, axis=-1)
    lse = tf.reduce_logsumexp(tf.where(allowed, logits, logits.dtype.min), axis=-1)  # [batch, heads, query]
    return output, tf.where(tf.reduce_any(allowed, axis=-1), lse, tf.constant(-float("inf"), lse.dtype))
