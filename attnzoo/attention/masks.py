"""Masks as pure functions. Boolean, True = may attend; they combine by logical and."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

Align = Literal["top_left", "bottom_right"]


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


def _distances(query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align) -> tf.Tensor:
    """Returns key position minus query position, <int32>[query, key]."""
    if align not in ("top_left", "bottom_right"):
        raise ValueError(f'`align` must be "top_left" or "bottom_right". Received: align={align!r}')
    offset = 0 if align == "top_left" else key_length - query_length
    return tf.range(key_length)[None, :] - tf.range(query_length)[:, None] - offset  # [query, key]


def causal_mask(
    query_length: int | tf.Tensor, key_length: int | tf.Tensor, align: Align = "top_left"
) -> tf.Tensor:
    """Lets every query see the keys up to its own position.

    Args:
        query_length: number of queries.
        key_length: number of keys.
        align: where the two sequences meet if their lengths differ: "top_left" puts query 0 at key 0,
            "bottom_right" the last query at the last key (queries that continue cached keys).

    Returns:
        <bool>[query, key].

    Raises:
        ValueError: unknown `align`.
    """
    return _distances(query_length, key_length, align) <= 0


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
        align: as in `causal_mask`.

    Returns:
        <bool>[query, key].

    Raises:
        ValueError: `left` or `right` below 0, or unknown `align`.
    """
    if left < 0 or right < 0:
        raise ValueError(
            f"A window reaches 0 or more keys to each side. Received: left={left}, right={right}"
        )
    distance = _distances(query_length, key_length, align)  # [query, key]
    return (distance >= -left) & (distance <= right)


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
