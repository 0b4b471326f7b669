"""What replicas share in a step: sums over all of them."""

from __future__ import annotations

from typing import TypeVar

import tensorflow as tf

Nest = TypeVar("Nest")


def num_replicas() -> int:
    """Returns the number of replicas that run the current function."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_id() -> tf.Tensor:
    """Returns the number of the current replica, <int32>[]."""
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)


def sum_over_replicas(values: Nest) -> Nest:
    """Sums a nest of tensors of one float dtype over all replicas, in one reduction; differentiable."""
    if num_replicas() == 1:
        return values
    tensors = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
    packed = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    packed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, packed)
    parts = tf.split(packed, [tensor.shape.num_elements() for tensor in tensors])
    summed = [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    return tf.nest.pack_sequence_as(values, summed)


def gather_from_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the values <float>[replicas, ...] of all replicas, on each of them; differentiable."""
    own = tf.one_hot(replica_id(), num_replicas(), dtype=value.dtype)
    return sum_over_replicas(tf.reshape(own, [-1] + [1] * value.shape.rank) * value)
