"""Dropout from a hash of (seed, position): the same choice eager and compiled, forward and backward.

TensorFlow's own stateless generators give other numbers under XLA than without it, so a compiled kernel could
not be compared with its reference, and a kernel that recomputes its weights needs the choice twice.
"""

from __future__ import annotations

import keras
import tensorflow as tf

_GOLDEN = 0x9E3779B9


def check_rate(rate: float) -> float:
    """Returns `rate` if it is a share that leaves something.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"`dropout` must be at least 0 and below 1. Received: dropout={rate}")
    return float(rate)


def make_rng_key(seed: int | tf.Tensor) -> tf.Tensor:
    """Returns <int64>[2] from an integer, or from a scalar or a pair of integers."""
    rng_key = tf.cast(tf.convert_to_tensor(seed, dtype=tf.int64 if isinstance(seed, int) else None), tf.int64)
    rng_key = tf.reshape(rng_key, [-1])
    return tf.stack([rng_key[0], rng_key[-1]])


def next_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    """Draws <int64>[2] from a Keras generator, another one on every replica of a distribution strategy."""
    rng_key = make_rng_key(generator.next())
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rng_key
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    return rng_key + tf.stack([replica * 7919, tf.zeros_like(replica)])


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """The 32-bit finaliser of MurmurHash3 (Austin Appleby, public domain), <uint32> of any shape."""
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))
    bits *= tf.constant(0x85EBCA6B, tf.uint32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(13, tf.uint32)))
    bits *= tf.constant(0xC2B2AE35, tf.uint32)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))


def chain(bits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Mixes one more index into a hash.

    Args:
        bits: <uint32>, what `first_bits` or an earlier call returned.
        index: <int32> that broadcasts against it.

    Returns:
        <uint32> of the broadcast shape.
    """
    return _mix(bits + tf.cast(index + 1, tf.uint32) * tf.constant(_GOLDEN, tf.uint32))


def first_bits(rng_key: tf.Tensor) -> tf.Tensor:
    """Returns the hash of a seed, <uint32>[] of <int64>[2]."""
    rng_key = tf.cast(rng_key, tf.uint32)
    return _mix(_mix(rng_key[0]) + rng_key[1])


def keep(bits: tf.Tensor, rate: float) -> tf.Tensor:
    """Returns <bool>, True where an element with that hash stays."""
    return bits >= tf.constant(min(round(rate * 2**32), 2**32 - 1), tf.uint32)


def keep_mask(rng_key: tf.Tensor, rate: float, shape: tf.Tensor) -> tf.Tensor:
    """Chooses what stays. Call it inside a compiled function: XLA has the integer operations on every device.

    An element's fate depends on the seed and its own index alone, not on the lengths of the axes, so padding
    more changes nothing.

    Args:
        rng_key: <int64>[2], the seed.
        rate: share to drop, in [0, 1).
        shape: <int32>[rank], rank 1 or more.

    Returns:
        <bool> of `shape`, True = keep.
    """
    bits = first_bits(rng_key)
    for axis in range(shape.shape[0]):
        bits = chain(bits[..., None], tf.range(shape[axis]))
    return keep(bits, rate)


def drop_by_key(inputs: tf.Tensor, rng_key: tf.Tensor | None, rate: float) -> tf.Tensor:
    """Does what `drop` does, as a part of a compiled function; without a key it drops nothing."""
    if rng_key is None:
        return inputs
    kept = keep_mask(rng_key, rate, tf.shape(inputs))
    return tf.where(kept, inputs * tf.cast(1 / (1 - rate), inputs.dtype), tf.zeros_like(inputs))


_drop = tf.function(drop_by_key, jit_compile=True, autograph=False)


def drop(inputs: tf.Tensor, rate: float, seed: int | tf.Tensor) -> tf.Tensor:
    """Zeros a fraction of the elements and scales the others by 1 / (1 - rate).

    Args:
        inputs: <float> of rank 2 or more.
        rate: share to drop, in [0, 1).
        seed: integer, or <int>[] or <int>[2].

    Returns:
        <float> of the same shape. Nothing is stored for the gradient: it draws the same choice again.
    """
    rng_key = make_rng_key(seed)

    @tf.custom_gradient
    def compute(inputs):
        # Dropout is linear and its own transpose: the gradient is dropout of the gradient.
        return _drop(tf.stop_gradient(inputs), rng_key, rate), lambda gradient: _drop(gradient, rng_key, rate)

    return compute(inputs)
