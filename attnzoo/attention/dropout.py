"""Dropout by a hash of (seed, position): the same mask in eager and compiled code, forward and backward.

TensorFlow's stateless generators return different numbers with and without XLA, so a compiled kernel could
not be compared with its reference. A kernel that recomputes its weights also needs the mask twice.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from attnzoo.attention.compilation import may_compile

_GOLDEN_RATIO = 0x9E3779B9


def check_rate(rate: float) -> float:
    """Returns `rate` after checking that it is a valid dropout rate.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={rate}")
    return float(rate)


def make_rng_key(seed: int | tf.Tensor) -> tf.Tensor:
    """Returns an RNG key <int64>[2] made from an integer, <int>[] or <int>[2]."""
    rng_key = tf.cast(tf.convert_to_tensor(seed, dtype=tf.int64 if isinstance(seed, int) else None), tf.int64)
    rng_key = tf.reshape(rng_key, [-1])
    return tf.stack([rng_key[0], rng_key[-1]])


def next_seed(generator: keras.random.SeedGenerator, rows: tf.Tensor) -> tf.Tensor:
    """Returns the next RNG key <int64>[2] of a generator, for inputs of `rows` rows, <int32>[].

    On several replicas it is the key with which these rows are dropped as they are in the whole batch. The
    hash of row r is that of the key plus (r + 1) times a constant, and the last part of the hash of a key can
    be inverted; so another key does for row r what the common one does for row r + first.
    """
    rng_key = make_rng_key(generator.next())
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rng_key
    first = tf.convert_to_tensor(context.replica_id_in_sync_group) * rows
    bits = hash_key(rng_key)
    moved = bits + tf.cast(first, tf.uint32) * tf.constant(_GOLDEN_RATIO, tf.uint32)
    difference = tf.cast(_unmix(moved) - _unmix(bits), tf.int64)
    return rng_key + tf.stack([tf.zeros_like(difference), difference])


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """Applies the 32-bit finalizer of MurmurHash3 (Austin Appleby, public domain) to <uint32>[...]."""
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))
    bits *= tf.constant(0x85EBCA6B, tf.uint32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(13, tf.uint32)))
    bits *= tf.constant(0xC2B2AE35, tf.uint32)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))


def _unmix(bits: tf.Tensor) -> tf.Tensor:
    """Inverts the 32-bit finalizer of MurmurHash3."""
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))
    bits *= tf.constant(pow(0xC2B2AE35, -1, 2**32), tf.uint32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(13, tf.uint32)))
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(26, tf.uint32)))
    bits *= tf.constant(pow(0x85EBCA6B, -1, 2**32), tf.uint32)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))


def fold_in(bits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Mixes one more index into a hash.

    Args:
        bits: <uint32>, returned by `hash_key` or an earlier call.
        index: <int32> that broadcasts with `bits`.

    Returns:
        <uint32> of the broadcast shape.
    """
    return _mix(bits + tf.cast(index + 1, tf.uint32) * tf.constant(_GOLDEN_RATIO, tf.uint32))


def hash_key(rng_key: tf.Tensor) -> tf.Tensor:
    """Returns the hash <uint32>[] of an RNG key <int64>[2]."""
    rng_key = tf.cast(rng_key, tf.uint32)
    return _mix(_mix(rng_key[0]) + rng_key[1])


def is_kept(bits: tf.Tensor, rate: float) -> tf.Tensor:
    """Returns <bool>, True where an element with these random bits is kept."""
    return bits >= tf.constant(min(round(rate * 2**32), 2**32 - 1), tf.uint32)


def keep_mask(rng_key: tf.Tensor, rate: float, shape: tf.Tensor) -> tf.Tensor:
    """Returns a dropout mask.

    Whether an element is kept depends only on the seed and the element's index, not on the sizes of the axes,
    so more padding changes nothing.

    Args:
        rng_key: <int64>[2], the seed.
        rate: fraction to drop, in [0, 1).
        shape: <int32>[rank], rank 1 or more.

    Returns:
        <bool> of `shape`, True = keep.
    """
    bits = hash_key(rng_key)
    for axis in range(shape.shape[0]):
        bits = fold_in(bits[..., None], tf.range(shape[axis]))
    return is_kept(bits, rate)


def drop_with_key(inputs: tf.Tensor, rng_key: tf.Tensor | None, rate: float) -> tf.Tensor:
    """Like `drop`, as a part of a larger function; without a key nothing is dropped."""
    if rng_key is None:
        return inputs
    kept = keep_mask(rng_key, rate, tf.shape(inputs))
    return tf.where(kept, inputs * tf.cast(1 / (1 - rate), inputs.dtype), tf.zeros_like(inputs))


_drop = tf.function(drop_with_key, jit_compile=True, autograph=False)


def drop(inputs: tf.Tensor, rate: float, seed: int | tf.Tensor) -> tf.Tensor:
    """Zeros a fraction of the elements and scales the others by 1 / (1 - rate).

    In a function that is traced for one shape, it is compiled by XLA, which fuses the hash into one pass over
    memory; not in eager code or in a function for any length, see `may_compile`. Both drop the same elements.

    Args:
        inputs: <float> of rank 2 or more.
        rate: fraction to drop, in [0, 1).
        seed: integer, <int>[] or <int>[2].

    Returns:
        <float> of the same shape. Nothing is stored for the gradient: it recomputes the mask.

    Examples:
        >>> outputs = drop(tf.ones([50, 20]), rate=0.5, seed=1)
        >>> sorted(set(outputs.numpy().ravel().tolist()))
        [0.0, 2.0]
    """
    rng_key = make_rng_key(seed)
    apply = _drop if may_compile(inputs) else drop_with_key

    @tf.custom_gradient
    def compute(inputs):
        # Dropout is linear and its own transpose: the gradient is dropout of the gradient.
        return apply(tf.stop_gradient(inputs), rng_key, rate), lambda gradient: apply(gradient, rng_key, rate)

    return compute(inputs)
