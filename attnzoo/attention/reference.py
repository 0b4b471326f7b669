"""Scaled dot-product attention in plain einsum: the definition that every kernel must equal."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.dropout import check_rate, drop


def check_arguments(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    padding_mask: tf.Tensor | None,
    bias: tf.Tensor | None,
    dropout: float,
    seed: int | tf.Tensor | None,
) -> None:
    """Checks what is known of the shapes before the program runs.

    Raises:
        ValueError: wrong rank, sizes that do not belong together, a rate outside [0, 1), or dropout without a
            seed.
    """
    for name, tensor, rank in (
        ("query", query, 4),
        ("key", key, 4),
        ("value", value, 4),
        ("padding_mask", padding_mask, 2),
        ("bias", bias, 4),
    ):
        if tensor is not None and tensor.shape.rank not in (None, rank):
            axes = "[batch, key]" if rank == 2 else "[batch, heads, query or key, dim or key]"
            raise ValueError(f"`{name}` must have {rank} axes, {axes}. Received: {name}.shape={tensor.shape}")
    if not key.shape[:3].is_compatible_with(value.shape[:3]):
        raise ValueError(
            "`key` and `value` must agree in batch, heads and length. "
            f"Received: key.shape={key.shape}, value.shape={value.shape}"
        )
    heads_and_dim = query.shape[1:2].concatenate(query.shape[3:])
    if not heads_and_dim.is_compatible_with(key.shape[1:2].concatenate(key.shape[3:])):
        raise ValueError(
            "`query` and `key` must agree in heads and dim. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if padding_mask is not None and not padding_mask.shape[1:].is_compatible_with(key.shape[2:3]):
        raise ValueError(
            "`padding_mask` must have one column a key. "
            f"Received: padding_mask.shape={padding_mask.shape}, key.shape={key.shape}"
        )
    if check_rate(dropout) > 0 and seed is None:
        raise ValueError(f"Dropout needs a seed: pass seed=<integer>. Received: dropout={dropout}, seed=None")


def default_scale(query: tf.Tensor) -> float:
    """Returns 1 / sqrt(dim)."""
    return float(query.shape[-1]) ** -0.5


def allowed_pairs(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, padding_mask: tf.Tensor | None, causal: bool
) -> tf.Tensor | None:
    """Returns <bool>[batch or 1, 1, query or 1, key], or None if every query may attend to every key."""
    return masks.combine(
        None if padding_mask is None else tf.cast(padding_mask, tf.bool)[:, None, None, :],
        masks.causal_mask(query_length, key_length)[None, None] if causal else None,
    )


def masked_softmax(scores: tf.Tensor, allowed: tf.Tensor | None = None) -> tf.Tensor:
    """Softmax over the last axis, over the allowed entries alone.

    Args:
        scores: <float>[..., key].
        allowed: <bool> that broadcasts to `scores`, True = may attend.

    Returns:
        <float32>[..., key]. A row without an allowed entry is all zeros.
    """
    scores = tf.cast(scores, tf.float32)
    if allowed is None:
        return tf.nn.softmax(scores)
    # Two `where`: the first keeps masked entries out of the sum; the second makes rows without any key zero.
    # A finite number instead of -inf keeps the gradient of such a row finite.
    weights = tf.nn.softmax(tf.where(allowed, scores, scores.dtype.min))
    return tf.where(allowed, weights, 0.0)


def attention_logits(
    query: tf.Tensor, key: tf.Tensor, bias: tf.Tensor | None, scale: float | None
) -> tf.Tensor:
    """Returns scale * query key^T + bias, <float32>[batch, heads, query, key]."""
    scale = default_scale(query) if scale is None else scale
    scores = tf.einsum("bhqd,bhkd->bhqk", tf.cast(query, tf.float32), tf.cast(key, tf.float32))
    scores *= scale  # [batch, heads, query, key]
    return scores if bias is None else scores + tf.cast(bias, tf.float32)


def attention_scores(
    query: tf.Tensor,
    key: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    causal: bool = False,
    bias: tf.Tensor | None = None,
    scale: float | None = None,
) -> tf.Tensor:
    """The weights of scaled dot-product attention, softmax(scale * query key^T + bias).

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, heads, key, dim].
        padding_mask: <bool>[batch, key], True = may attend.
        causal: query i sees the keys 0 to i only.
        bias: <float>, broadcasts to [batch, heads, query, key].
        scale: factor of the products; None for 1 / sqrt(dim).

    Returns:
        <float32>[batch, heads, query, key]. Rows sum to 1, or to 0 where there is nothing to attend to.
    """
    scores = attention_logits(query, key, bias, scale)
    allowed = allowed_pairs(tf.shape(query)[2], tf.shape(key)[2], padding_mask, causal)
    return masked_softmax(scores, allowed)


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    causal: bool = False,
    bias: tf.Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int | tf.Tensor | None = None,
    return_lse: bool = False,
) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Attends with every score in memory. Arguments, results and errors are those of `kernel.attention`."""
    check_arguments(query, key, value, padding_mask, bias, dropout, seed)
    scores = attention_logits(query, key, bias, scale)  # [batch, heads, query, key]
    allowed = allowed_pairs(tf.shape(query)[2], tf.shape(key)[2], padding_mask, causal)
    weights = masked_softmax(scores, allowed)
    if dropout > 0 and seed is not None:
        weights = drop(weights, dropout, seed)
    output = tf.einsum("bhqk,bhkd->bhqd", weights, tf.cast(value, tf.float32))  # [batch, heads, query, dim]
    output = tf.cast(output, value.dtype)
    if not return_lse:
        return output
    if allowed is None:
        return output, tf.reduce_logsumexp(scores, axis=-1)
    lse = tf.reduce_logsumexp(tf.where(allowed, scores, scores.dtype.min), axis=-1)  # [batch, heads, query]
    return output, tf.where(tf.reduce_any(allowed, axis=-1), lse, -float("inf"))
