"""Masks and the masked softmax, as pure functions.

Masks are boolean, True = may attend; they combine by logical and.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import tensorflow as tf

from attnzoo.attention.precision import at_least_float32

Align: TypeAlias = Literal["top_left", "bottom_right"] | int | tf.Tensor
"""Position of the first query among the keys; see `query_start`."""


def lengths_to_mask(lengths: tf.Tensor, max_length: int | tf.Tensor) -> tf.Tensor:
    """Returns the padding mask of sequences with these lengths.

    Args:
        lengths: <int>[batch], 0 or more.
        max_length: number of positions, padding included.

    Returns:
        <bool>[batch, max_length], True at valid positions.

    Examples:
        >>> lengths_to_mask(tf.constant([1, 3]), 4).numpy().astype(int).tolist()
        [[1, 0, 0, 0], [1, 1, 1, 0]]
    """
    lengths = tf.convert_to_tensor(lengths)
    positions = tf.range(tf.cast(max_length, lengths.dtype))  # [position]
    return positions[None, :] < lengths[:, None]  # [batch, position]


def query_start(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align = "top_left"
) -> int | tf.Tensor:
    """Returns the position of query 0 among the keys.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        align: "top_left" for key 0; "bottom_right" aligns the last query with the last key; or the position
            itself, an integer or <int>[] (for queries that continue cached keys).

    Returns:
        An integer, or <int32>[] if a length or `align` is a tensor.

    Raises:
        ValueError: unknown `align`.
    """
    if isinstance(align, str):
        if align not in ("top_left", "bottom_right"):
            raise ValueError(
                '`align` must be "top_left", "bottom_right" or the position of query 0. '
                f"Received: align={align!r}"
            )
        return 0 if align == "top_left" else key_length - query_length
    return align if isinstance(align, int) else tf.cast(align, tf.int32)


def distances(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align = "top_left"
) -> tf.Tensor:
    """Returns key position minus query position, <int32>[query, key]; arguments as in `query_start`."""
    queries = tf.range(query_length) + query_start(query_length, key_length, align)
    return tf.range(key_length)[None, :] - queries[:, None]  # [query, key]


def causal_mask(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align = "top_left"
) -> tf.Tensor:
    """Returns the mask that lets each query attend to the keys up to its own position.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        align: position of the queries among the keys, as in `query_start`.

    Returns:
        <bool>[query, key], True = may attend.

    Raises:
        ValueError: unknown `align`.

    Examples:
        >>> causal_mask(2, 3, align="bottom_right").numpy().astype(int).tolist()
        [[1, 1, 0], [1, 1, 1]]
    """
    return distances(query_length, key_length, align) <= 0


def window_mask(
    query_length: int | tf.Tensor,
    key_length: int | tf.Tensor,
    left: int,
    right: int,
    align: Align = "top_left",
) -> tf.Tensor:
    """Returns the mask that lets each query attend to the keys near its own position.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        left: number of allowed keys before the query's position, 0 or more.
        right: number of allowed keys after it, 0 or more.
        align: as in `query_start`.

    Returns:
        <bool>[query, key], True = may attend.

    Raises:
        ValueError: `left` or `right` below 0, or unknown `align`.

    Examples:
        >>> window_mask(3, 3, left=1, right=0).numpy().astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    if left < 0 or right < 0:
        raise ValueError(f"`left` and `right` must be 0 or more. Received: left={left}, right={right}")
    distance = distances(query_length, key_length, align)  # [query, key]
    return (distance >= -left) & (distance <= right)


def segment_mask(query_segments: tf.Tensor, key_segments: tf.Tensor) -> tf.Tensor:
    """Returns the mask that separates sequences that are packed into one row.

    Args:
        query_segments: <int>[batch, query], id of the sequence that each query belongs to.
        key_segments: <int>[batch, key].

    Returns:
        <bool>[batch, query, key], True within a sequence.
    """
    return query_segments[:, :, None] == key_segments[:, None, :]


def as_pair_mask(attention_mask: tf.Tensor) -> tf.Tensor:
    """Returns a mask of pairs of query and key with an axis for each axis of the logits.

    Args:
        attention_mask: [query, key], [batch, query, key] or [batch, heads, query, key], nonzero = may attend;
            axes may be 1.

    Returns:
        <bool>[batch or 1, heads or 1, query or 1, key or 1].
    """
    mask = tf.cast(attention_mask, tf.bool)
    if mask.shape.rank == 2:
        return mask[None, None]
    return mask[:, None] if mask.shape.rank == 3 else mask


def combine(*masks: tf.Tensor | None) -> tf.Tensor | None:
    """Combines masks by logical and.

    Args:
        *masks: <bool> tensors that broadcast against each other; None allows everything.

    Returns:
        <bool> tensor of the broadcast shape, or None if all masks are None.
    """
    combined: tf.Tensor | None = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined


def allowed_pairs(
    distance: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    segments: tuple[tf.Tensor, tf.Tensor] | None = None,
    causal: bool = False,
    window: tuple[int, int] | None = None,
) -> tf.Tensor | None:
    """Combines all conditions on which query may attend to which key.

    Args:
        distance: <int>[query, key], key position minus query position (`distances`).
        padding_mask: <bool>[batch, key], True = may attend.
        segments: <int>[batch, query] and <int>[batch, key]; only equal ids may attend.
        causal: whether distances above 0 are masked.
        window: (left, right): only distances from -left to right are allowed.

    Returns:
        <bool>[batch or 1, 1, query or 1, key], or None if every query may attend to every key.
    """
    allowed = combine(
        None if padding_mask is None else tf.cast(padding_mask, tf.bool)[:, None, :],
        None if segments is None else segment_mask(*segments),
        (distance <= 0)[None] if causal else None,
        None if window is None else ((distance >= -window[0]) & (distance <= window[1]))[None],
    )
    return None if allowed is None else allowed[:, None]


def masked_softmax(logits: tf.Tensor, allowed: tf.Tensor | None = None) -> tf.Tensor:
    """Softmax over the allowed entries of the last axis.

    Args:
        logits: <float>[..., key].
        allowed: <bool> that broadcasts to `logits`, True = may attend.

    Returns:
        <float32>[..., key] (<float64> for <float64>). A row without an allowed entry is all zeros.

    Examples:
        >>> masked_softmax(tf.zeros([2, 3]), tf.constant([[True, True, False], [False] * 3])).numpy().tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    logits = at_least_float32(logits)
    if allowed is None:
        return tf.nn.softmax(logits)
    # The first `where` excludes masked entries from the sum; the second zeros rows without any key. A finite
    # number instead of -inf keeps the gradient of such rows finite.
    weights = tf.nn.softmax(tf.where(allowed, logits, logits.dtype.min))
    return tf.where(allowed, weights, tf.zeros([], logits.dtype))
