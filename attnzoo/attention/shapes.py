"""Sizes of axes, and splitting and merging heads."""

from __future__ import annotations

import keras
import tensorflow as tf


def length(tensor: tf.Tensor, axis: int = 2) -> int | tf.Tensor:
    """Returns the size of an axis, as an integer if it is static."""
    return tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


def split_heads(tensor: tf.Tensor, num_heads: int) -> tf.Tensor:
    """Reshapes [batch, time, heads * dim] to [batch, heads, time, dim]."""
    batch, time, width = keras.ops.shape(tensor)
    tensor = keras.ops.reshape(tensor, [batch, time, num_heads, width // num_heads])
    return tf.transpose(tensor, [0, 2, 1, 3])


def merge_heads(tensor: tf.Tensor) -> tf.Tensor:
    """Reshapes [batch, heads, time, dim] to [batch, time, heads * dim]."""
    batch, heads, time, dim = keras.ops.shape(tensor)
    return keras.ops.reshape(tf.transpose(tensor, [0, 2, 1, 3]), [batch, time, heads * dim])


def repeat_heads(tensor: tf.Tensor, heads: int) -> tf.Tensor:
    """Repeats each head of [batch, key_heads, ...] for the heads that share it: [batch, heads, ...]."""
    shared = heads // tensor.shape[1]
    if shared == 1:
        return tensor
    # Not `tf.repeat`: inside a loop, its gradient has no static shape for XLA.
    sizes = [length(tensor, axis) for axis in range(tensor.shape.rank)]
    tiled = tf.tile(tensor[:, :, None], [1, 1, shared] + [1] * (tensor.shape.rank - 2))
    return tf.reshape(tiled, [sizes[0], heads, *sizes[2:]])
