"""Scaled dot-product attention in plain einsum: the definition that every kernel must equal."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.dropout import drop
from attnzoo.attention.terms import Inputs, Options, length, prepare, repeat_heads


def masked_softmax(scores: tf.Tensor, allowed: tf.Tensor | None = None) -> tf.Tensor:
    """Softmax over the last axis, over the allowed entries alone.

    Args:
        scores: <float>[..., key].
        allowed: <bool> that broadcasts to `scores`, True = may attend.

    Returns:
        <float32>[..., key], <float64> of <float64>. A row without an allowed entry is all zeros.
    """
    if scores.dtype != tf.float64:
        scores = tf.cast(scores, tf.float32)
    if allowed is None:
        return tf.nn.softmax(scores)
    # Two `where`: the first keeps masked entries out of the sum; the second makes rows without any key zero.
    # A finite number instead of -inf keeps the gradient of such a row finite.
    weights = tf.nn.softmax(tf.where(allowed, scores, scores.dtype.min))
    return tf.where(allowed, weights, tf.zeros([], scores.dtype))


def allowed_pairs(
    distance: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    segments: tuple[tf.Tensor, tf.Tensor] | None = None,
    causal: bool = False,
    window: tuple[int, int] | None = None,
) -> tf.Tensor | None:
    """Joins all that limits who may attend to whom.

    Args:
        distance: <int>[query, key], key position minus query position (`masks.distances`).
        padding_mask: <bool>[batch, key], True = may attend.
        segments: <int>[batch, query] and <int>[batch, key]; equal numbers may attend.
        causal: no distance above 0.
        window: least and greatest distance, (left, right) for -left to right.

    Returns:
        <bool>[batch or 1, 1, query or 1, key], or None if every query may attend to every key.
    """
    allowed = masks.combine(
        None if padding_mask is None else tf.cast(padding_mask, tf.bool)[:, None, :],
        None if segments is None else masks.segment_mask(*segments),
        (distance <= 0)[None] if causal else None,
        None if window is None else ((distance >= -window[0]) & (distance <= window[1]))[None],
    )
    return None if allowed is None else allowed[:, None]


class _Scores(NamedTuple):
    """Scores before the softmax and what limits them.

    Attributes:
        logits: <float32>[batch, heads, query, key], <float64> of <float64>; a sink is one more key.
        allowed: <bool> that broadcasts to it, or None.
    """

    logits: tf.Tensor
    allowed: tf.Tensor | None


def _scores(inputs: Inputs, options: Options, rows: tf.Tensor | None = None) -> _Scores:
    """Scores the queries at the indices `rows`, <int32>[row]; all of them if None."""
    dtype = tf.float64 if inputs.query.dtype == tf.float64 else tf.float32
    queries, keys = length(inputs.query), length(inputs.key)
    index = tf.range(queries) if rows is None else rows  # [row]

    def chosen(tensor, axis):
        return tensor if rows is None or tensor is None else tf.gather(tensor, rows, axis=axis)

    query, key = tf.cast(chosen(inputs.query, 2), dtype), tf.cast(inputs.key, dtype)
    key = repeat_heads(key, query.shape[1])
    logits = tf.einsum("bhqd,bhkd->bhqk", query, key) * options.scale  # [batch, heads, row, key]
    finite = None
    if inputs.bias is not None:
        bias = tf.cast(inputs.bias if inputs.bias.shape[2] == 1 else chosen(inputs.bias, 2), dtype)
        finite = bias > -float("inf")
        logits += tf.where(finite, bias, tf.zeros([], dtype))
    distance = tf.range(keys)[None, :] - (index + inputs.start)[:, None]  # [row, key]
    if inputs.distance_bias is not None:
        # Entry 0 is for the last query and key 0.
        entry = tf.range(keys)[None, :] - index[:, None] + queries - 1
        logits += tf.gather(tf.cast(inputs.distance_bias, dtype), entry, axis=1)  # [heads, row, key]
    if inputs.alibi_slopes is not None:
        logits -= tf.cast(inputs.alibi_slopes, dtype)[:, None, None] * tf.cast(tf.abs(distance), dtype)
    if options.soft_cap is not None:
        logits = options.soft_cap * tf.tanh(logits / options.soft_cap)
    segments = inputs.query_segments, inputs.key_segments
    allowed = allowed_pairs(
        distance,
        padding_mask=inputs.padding_mask,
        segments=None if segments[0] is None else (chosen(segments[0], 1), segments[1]),
        causal=options.causal,
        window=options.window,
    )
    allowed = masks.combine(allowed, finite)
    if inputs.sink is None:
        return _Scores(logits, allowed)
    sink = tf.zeros_like(logits[..., :1]) + tf.cast(inputs.sink, dtype)[:, None, None]
    if allowed is not None:
        allowed = tf.broadcast_to(allowed, tf.shape(logits))
        allowed = tf.concat([allowed, tf.ones_like(allowed[..., :1])], axis=-1)
    return _Scores(tf.concat([logits, sink], axis=-1), allowed)


def compute(inputs: Inputs, options: Options) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
    logits, allowed = _scores(inputs, options)
    weights = masked_softmax(logits, allowed)[..., : length(inputs.key)]  # without the sink
    if inputs.words is not None:
        weights = drop(weights, options.dropout, inputs.words)
    value = tf.cast(inputs.value, weights.dtype)
    value = repeat_heads(value, inputs.query.shape[1])
    output = tf.cast(tf.einsum("bhqk,bhkd->bhqd", weights, value), inputs.value.dtype)
    if allowed is None:
        return output, tf.reduce_logsumexp(logits, axis=-1)
    lse = tf.reduce_logsumexp(tf.where(allowed, logits, logits.dtype.min), axis=-1)  # [batch, heads, query]
    return output, tf.where(tf.reduce_any(allowed, axis=-1), lse, tf.constant(-float("inf"), lse.dtype))


def attention_scores(
    query: tf.Tensor, key: tf.Tensor, *, rows: tf.Tensor | None = None, **arguments
) -> tf.Tensor:
    """The weights that `kernel.attention` gives its values, before dropout.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim].
        rows: <int>[row], the queries to look at; None for all. Memory grows with their number.
        **arguments: those of `kernel.attention` that shape the weights.

    Returns:
        <float32>[batch, heads, row, key]. Rows sum to 1, to 0 where there is nothing to attend to, and to
        less than 1 with a sink.

    Raises:
        ValueError: what `kernel.attention` says.
    """
    inputs, options = prepare(query, key, key, **arguments)
    rows = None if rows is None else tf.convert_to_tensor(rows, tf.int32)
    return masked_softmax(*_scores(inputs, options, rows))[..., : length(key)]
