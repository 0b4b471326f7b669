"""Rotary position embedding."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.shapes import length

BASE = 10000.0
"""Per position, the first pair of features rotates by 1 radian and the last by about 1 / BASE."""


def rotate(tensor: tf.Tensor, position: int | tf.Tensor = 0) -> tf.Tensor:
    """Rotates pairs of features by angles proportional to the position (RoPE).

        a_ti = (position + t) / BASE^(2i / dim)
        y_i = x_i cos a_ti - x_j sin a_ti        y_j = x_j cos a_ti + x_i sin a_ti        j = i + dim / 2

    The product of a rotated query and a rotated key depends only on their distance, not on their positions.

    Args:
        tensor: <float>[batch, heads, time, dim], dim even.
        position: position of the first element, integer or <int>[].

    Returns:
        <float>[batch, heads, time, dim].

    Reference: Su et al. 2021, https://arxiv.org/abs/2104.09864

    Examples:
        >>> rotate(tf.constant([[[[3.0, 4.0]]]]), position=5).numpy().tolist()  # keeps the norm
        [[[[4.68..., -1.74...]]]]
    """
    # Angles in float32: half precision cannot hold a position above a few hundred.
    dtype = tf.float64 if tensor.dtype == tf.float64 else tf.float32
    positions = tf.cast(tf.range(length(tensor)) + tf.cast(position, tf.int32), dtype)  # [time]
    exponents = tf.range(0, tensor.shape[-1], 2, dtype=dtype) / tensor.shape[-1]  # [dim / 2]
    angles = positions[:, None] * BASE**-exponents  # [time, dim / 2]
    cosine, sine = tf.cos(angles), tf.sin(angles)
    first, second = tf.split(tf.cast(tensor, dtype), 2, axis=-1)  # [batch, heads, time, dim / 2]
    rotated = tf.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
    return tf.cast(rotated, tensor.dtype)
