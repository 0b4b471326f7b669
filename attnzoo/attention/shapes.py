"""Sizes of axes, and heads as an axis of their own."""

from __future__ import annotations

import keras
import tensorflow as tf


def length(tensor: tf.Tensor, axis: int = 2) -> int | tf.Tensor:
    """Returns the size of an axis, as an integer if it is known."""
    return tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


def split_heads(tensor: tf.Tensor, num_heads: int) -> tf.Tensor:
    """Returns [batch, heads, time, dim] of [batch, time, heads * dim]."""
    batch, time, width = keras.ops.shape(tensor)
    tensor = keras.ops.reshape(tensor, [batch, time, num_heads, width // num_heads])
    return tf.transpose(tensor, [0, 2, 1, 3])


def merge_heads(tensor: tf.Tensor) -> tf.Tensor:
    """Returns [batch, time, heads * dim] of [batch, heads, time, dim]."""
    batch, heads, time, dim = keras.ops.shape(tensor)
    return keras.ops.reshape(tf.transpose(tensor, [0, 2, 1, 3]), [batch, time, heads * dim])


def repeat_heads(tensor: tf.Tensor, heads: int) -> tf.Tensor:
    """Returns <float>[batch, heads, ...] of [batch, key_heads, ...], each head as often as it is shared."""
    shared = heads // tensor.shape[1]
    if shared == 1:
        return tensor
    # Not `tf.repeat`: the gradient of that in a loop has no shape that XLA knows.
    sizes = [length(tensor, axis) for axis in range(tensor.shape.rank)]
    tiled = tf.tile(tensor[:, :, None], [1, 1, shared] + [1] * (tensor.shape.rank - 2))
    return tf.reshape(tiled, [sizes[0], heads, *sizes[2:]])
