"""Caches of a decoder block for generation, and the positions of hypotheses in them."""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from attnzoo.attention.memory import Memory


class DecoderCaches(NamedTuple):
    """What a decoder block caches between the steps of a generation.

    Attributes:
        self_memory: key and value of the previous positions, each
            <float>[batch, heads, max_length * beams, dim] with the beams of a position next to each other.
            Entries are never moved between beams.
        cross_memory: key and value of the source, each <float>[batch, heads, source, dim].
    """

    self_memory: Memory
    cross_memory: Memory


def update_cache(cache: tf.Tensor, new: tf.Tensor, position: int | tf.Tensor, beams: int) -> tf.Tensor:
    """Writes <float>[batch * beams, heads, 1, dim] to a cache <float>[batch, heads, time * beams, dim]."""
    batch, heads, _, dim = keras.ops.shape(cache)
    new = keras.ops.reshape(tf.cast(new, cache.dtype), [batch, beams, heads, dim])
    return keras.ops.slice_update(cache, [0, 0, position * beams, 0], tf.transpose(new, [0, 2, 1, 3]))


def ancestry_mask(ancestry: tf.Tensor, position: int | tf.Tensor) -> tf.Tensor:
    """Returns <bool>[batch, beams, time * beams], True at the cache entries of each hypothesis."""
    batch, beams, time = keras.ops.shape(ancestry)
    own = ancestry[..., None] == tf.range(beams)  # [batch, beams, time, beams]
    own &= (tf.range(time) <= position)[:, None]
    return keras.ops.reshape(own, [batch, beams, time * beams])


def gather_ancestry(cache: tf.Tensor, ancestry: tf.Tensor | None, beams: int) -> tf.Tensor:
    """Returns the cache entries of each hypothesis, <float>[batch * beams, heads, time, dim]."""
    batch, heads, slots, dim = keras.ops.shape(cache)
    own = tf.transpose(cache, [0, 2, 1, 3])  # [batch, time * beams, heads, dim]
    if ancestry is None:
        own = keras.ops.reshape(own, [batch, slots // beams, beams, heads, dim])
        own = tf.transpose(own, [0, 2, 3, 1, 4])
    else:
        own = tf.gather(own, tf.range(slots // beams) * beams + ancestry, batch_dims=1)
        own = tf.transpose(own, [0, 1, 3, 2, 4])
    return keras.ops.reshape(own, [batch * beams, heads, slots // beams, dim])
