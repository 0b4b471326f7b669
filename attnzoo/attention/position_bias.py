"""Attention biases that depend on the distance of query and key, as pure functions."""

from __future__ import annotations

import itertools

import tensorflow as tf

NUM_BUCKETS = 32
"""Number of distance buckets: half for keys at or before the query, half for keys after it."""
MAX_DISTANCE = 128
"""All keys at this distance or farther share the last bucket."""


def alibi_slopes(num_heads: int) -> list[float]:
    """Returns how much the logit decreases with each step of distance between query and key (ALiBi).

        slope_h = 2^(-8h / num_heads), h = 1 ... num_heads, for a power of two

    Other numbers of heads use the slopes for the next smaller power of two, followed by every second slope,
    starting with the first, for twice that power.

    Args:
        num_heads: number of heads, 1 or more.

    Returns:
        One slope per head.

    Reference: Press et al. 2022, https://arxiv.org/abs/2108.12409

    Examples:
        >>> alibi_slopes(4)
        [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 2 ** (num_heads.bit_length() - 1)
    slopes = [2 ** (-8 * head / power) for head in range(1, power + 1)]
    between = [2 ** (-4 * head / power) for head in range(1, 2 * power, 2)]
    return slopes + between[: num_heads - power]


def relative_bucket(distance: tf.Tensor) -> tf.Tensor:
    """Assigns distances to buckets, which are one step wide near the query and grow with the distance (T5).

    With half = NUM_BUCKETS / 2 and exact = half / 2, the bucket of n = |distance| is

        n                                                                for n < exact
        exact + floor(exact log(n / exact) / log(MAX_DISTANCE / exact))  up to half - 1, for the others

    plus half if the key is after the query.

    Args:
        distance: <int>[...], key position minus query position.

    Returns:
        <int32>[...], 0 to NUM_BUCKETS - 1.

    Reference: Raffel et al. 2020, https://arxiv.org/abs/1910.10683

    Examples:
        >>> relative_bucket(tf.constant([-100, -1, 0, 1, 100])).numpy().tolist()
        [15, 1, 0, 17, 31]
    """
    beyond = tf.abs(distance)[..., None] >= tf.constant(_bucket_starts(), distance.dtype)  # [..., half - 1]
    bucket = tf.reduce_sum(tf.cast(beyond, tf.int32), axis=-1)
    return bucket + NUM_BUCKETS // 2 * tf.cast(distance > 0, tf.int32)


def _bucket_starts() -> list[int]:
    """Returns the smallest distance of each bucket but the first, in exact integer arithmetic."""
    exact = NUM_BUCKETS // 4
    starts = list(range(1, exact))
    for step in range(exact):  # exact (MAX_DISTANCE / exact)^(step / exact), rounded up
        power = exact ** (exact - step) * MAX_DISTANCE**step
        starts.append(next(n for n in itertools.count(exact) if n**exact >= power))
    return starts


def distance_bias(
    table: tf.Tensor,
    query_length: int | tf.Tensor,
    key_length: int | tf.Tensor,
    position: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Looks up the bias of each distance that occurs.

    Args:
        table: <float>[NUM_BUCKETS, heads].
        query_length: number of queries.
        key_length: number of keys.
        position: position of the first query among the keys, integer or <int>[].

    Returns:
        <float>[heads, query + key - 1], the `distance_bias` of `kernel.attention`: entry 0 is for the last
        query and the first key.
    """
    last_query = tf.cast(position, tf.int32) + query_length - 1
    distance = tf.range(tf.maximum(query_length + key_length - 1, 0)) - last_query  # [query + key - 1]
    # A product instead of a gather: its gradient is summed in the same order on every device.
    selected = tf.one_hot(relative_bucket(distance), NUM_BUCKETS, dtype=table.dtype)  # [entry, bucket]
    return tf.einsum("eb,bh->he", selected, table)
