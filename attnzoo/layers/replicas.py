"""What replicas share in a step: sums over all of them, and the numbering of the rows of the whole batch."""

from __future__ import annotations

from typing import TypeVar

import tensorflow as tf

from attnzoo.attention.dropout import hash_key

Nest = TypeVar("Nest")

_GOLDEN_RATIO = 0x9E3779B9  # of `attention.dropout.fold_in`


def num_replicas() -> int:
    """Returns the number of replicas that run the current function."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_id() -> tf.Tensor:
    """Returns the number of the current replica, <int32>[]."""
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)


def sum_over_replicas(values: Nest) -> Nest:
    """Sums a nest of <float32> tensors over all replicas, packed into one reduction; differentiable."""
    if num_replicas() == 1:
        return values
    tensors = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
    packed = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    packed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, packed)
    parts = tf.split(packed, [tensor.shape.num_elements() for tensor in tensors])
    summed = [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    return tf.nest.pack_sequence_as(values, summed)


def gather_from_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the values <float32>[replicas, ...] of all replicas, on each of them; differentiable."""
    own = tf.one_hot(replica_id(), num_replicas())
    return sum_over_replicas(tf.reshape(own, [-1] + [1] * value.shape.rank) * value)


def key_of_rows(rng_key: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the RNG key with which dropout drops what it would of these rows in the whole batch.

    The hash of row r in a batch is that of the key plus (r + 1) times a constant, and the last part of the
    hash of a key can be inverted; so another key does for row r what this one does for row r + first.

    Args:
        rng_key: <int64>[2], equal on all replicas.
        rows: number of rows of this replica, <int32>[]; equal on all of them.

    Returns:
        <int64>[2]; the same key if there is one replica.
    """
    if num_replicas() == 1:
        return rng_key
    bits = hash_key(rng_key)
    moved = bits + tf.cast(replica_id() * rows, tf.uint32) * tf.constant(_GOLDEN_RATIO, tf.uint32)
    difference = tf.cast(_unmix(moved) - _unmix(bits), tf.int64)
    return rng_key + tf.stack([tf.zeros_like(difference), difference])


def _unmix(bits: tf.Tensor) -> tf.Tensor:
    """Inverts the 32-bit finalizer of MurmurHash3."""
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))
    bits *= tf.constant(pow(0xC2B2AE35, -1, 2**32), tf.uint32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(13, tf.uint32)))
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(26, tf.uint32)))
    bits *= tf.constant(pow(0x85EBCA6B, -1, 2**32), tf.uint32)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))
