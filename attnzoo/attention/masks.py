"""Masks as pure functions. Boolean, True = may attend; they combine by logical and."""

from __future__ import annotations

from typing import Literal, TypeAlias

import tensorflow as tf

Align: TypeAlias = Literal["top_left", "bottom_right"] | int | tf.Tensor
"""Where the first query stands among the keys; see `query_start`."""


def lengths_to_mask(lengths: tf.Tensor, max_length: int | tf.Tensor) -> tf.Tensor:
    """Marks the positions before each example's length.

    Args:
        lengths: <int>[batch], 0 or more.
        max_length: number of positions, padding included.

    Returns:
        <bool>[batch, max_length], True at valid positions.
    """
    lengths = tf.convert_to_tensor(lengths)
    positions = tf.range(tf.cast(max_length, lengths.dtype))  # [position]
    return positions[None, :] < lengths[:, None]  # [batch, position]


def query_start(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align = "top_left"
) -> int | tf.Tensor:
    """Says where query 0 stands among the keys.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        align: "top_left" for key 0; "bottom_right" so that the last query stands at the last key; or the
            position itself, an integer or <int>[] (queries that continue cached keys).

    Returns:
        An integer, or <int32>[] where a length or `align` is a tensor.

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
    """Lets every query see the keys up to its own position.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        align: where the queries stand among the keys, as in `query_start`.

    Returns:
        <bool>[query, key].

    Raises:
        ValueError: unknown `align`.
    """
    return distances(query_length, key_length, align) <= 0


def window_mask(
    query_length: int | tf.Tensor,
    key_length: int | tf.Tensor,
    left: int,
    right: int,
    align: Align = "top_left",
) -> tf.Tensor:
    """Lets every query see the keys near its own position.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        left: number of keys before the query's position that it sees, 0 or more.
        right: number of keys after it, 0 or more.
        align: as in `query_start`.

    Returns:
        <bool>[query, key].

    Raises:
        ValueError: `left` or `right` below 0, or unknown `align`.
    """
    if left < 0 or right < 0:
        raise ValueError(
            f"A window reaches 0 or more keys to each side. Received: left={left}, right={right}"
        )
    distance = distances(query_length, key_length, align)  # [query, key]
    return (distance >= -left) & (distance <= right)


def segment_mask(query_segments: tf.Tensor, key_segments: tf.Tensor) -> tf.Tensor:
    """Keeps the sequences apart that are packed into one row.

    Args:
        query_segments: <int>[batch, query], the number of the sequence that each query belongs to.
        key_segments: <int>[batch, key].

    Returns:
        <bool>[batch, query, key], True within a sequence.
    """
    return query_segments[:, :, None] == key_segments[:, None, :]


def combine(*masks: tf.Tensor | None) -> tf.Tensor | None:
    """Allows what all masks allow.

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
