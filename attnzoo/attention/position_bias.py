"""Biases of the attention scores by the distance of query and key, as pure functions."""

from __future__ import annotations

import itertools

import tensorflow as tf

NUM_BUCKETS = 32
"""Buckets of distances: half for the keys behind the query and at its place, half for those ahead."""
MAX_DISTANCE = 128
"""Distance from which on all keys share the last bucket."""


def alibi_slopes(num_heads: int) -> list[float]:
    """Says how much a score falls with each step between query and key.

        slope_h = 2^(-8h / num_heads), h = 1 ... num_heads, for a power of two

    Other numbers of heads take the slopes of the power of two below, then every second one, beginning with
    the first, of twice that power.

    Args:
        num_heads: number of heads, 1 or more.

    Returns:
        One slope a head.

    Reference: Press et al. 2022, https://arxiv.org/abs/2108.12409
    """
    power = 2 ** (num_heads.bit_length() - 1)
    slopes = [2 ** (-8 * head / power) for head in range(1, power + 1)]
    between = [2 ** (-4 * head / power) for head in range(1, 2 * power, 2)]
    return slopes + between[: num_heads - power]


def relative_bucket(distance: tf.Tensor) -> tf.Tensor:
    """Sorts distances into buckets that are one step wide near the query and grow with the distance.

    With half = NUM_BUCKETS / 2 and exact = half / 2, the bucket of n = |distance| is

        n                                                                for n < exact
        exact + floor(exact log(n / exact) / log(MAX_DISTANCE / exact))  up to half - 1, for the others

    plus half where the key is ahead of the query.

    Args:
        distance: <int>[...], key position minus query position.

    Returns:
        <int32>[...], 0 to NUM_BUCKETS - 1.

    Reference: Raffel et al. 2020, https://arxiv.org/abs/1910.10683
    """
    beyond = tf.abs(distance)[..., None] >= tf.constant(_bucket_starts(), distance.dtype)  # [..., half - 1]
    bucket = tf.reduce_sum(tf.cast(beyond, tf.int32), axis=-1)
    return bucket + NUM_BUCKETS // 2 * tf.cast(distance > 0, tf.int32)


def _bucket_starts() -> list[int]:
    """The least distance of every bucket but the first, in integers: a rounded logarithm misses some."""
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
    """Looks up the bias of every distance that occurs, once.

    Args:
        table: <float>[NUM_BUCKETS, heads].
        query_length: number of queries.
        key_length: number of keys.
        position: of the first query among the keys, integer or <int>[].

    Returns:
        <float>[heads, query + key - 1], as `kernel.attention` takes it: entry 0 is for the last query and
        key 0.
    """
    last_query = tf.cast(position, tf.int32) + query_length - 1
    distance = tf.range(query_length + key_length - 1) - last_query  # [query + key - 1]
    # Products in place of a gather: its gradient adds up in one order on every device.
    chosen = tf.one_hot(relative_bucket(distance), NUM_BUCKETS, dtype=table.dtype)  # [entry, bucket]
    return tf.einsum("eb,bh->he", chosen, table)
