"""Rotary positions."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.shapes import length

BASE = 10000.0
"""From one position to the next the first pair of features turns by 1 radian, the last by nearly 1 / BASE."""


def rotate(tensor: tf.Tensor, position: int | tf.Tensor = 0) -> tf.Tensor:
    """Turns pairs of features by angles that grow with the position.

        a_ti = (position + t) / BASE^(2i / dim)
        y_i = x_i cos a_ti - x_j sin a_ti        y_j = x_j cos a_ti + x_i sin a_ti        j = i + dim / 2

    The product of a turned query and a turned key depends on their distance and not on where they stand.

    Args:
        tensor: <float>[batch, heads, time, dim], dim even.
        position: of the first element, integer or <int>[].

    Returns:
        <float>[batch, heads, time, dim].

    Reference: Su et al. 2021, https://arxiv.org/abs/2104.09864
    """
    # Angles in float32: half precision cannot hold a position above a few hundred.
    dtype = tf.float64 if tensor.dtype == tf.float64 else tf.float32
    positions = tf.cast(tf.range(length(tensor)) + tf.cast(position, tf.int32), dtype)  # [time]
    exponents = tf.range(0, tensor.shape[-1], 2, dtype=dtype) / tensor.shape[-1]  # [dim / 2]
    angles = positions[:, None] * BASE**-exponents  # [time, dim / 2]
    cosine, sine = tf.cos(angles), tf.sin(angles)
    first, second = tf.split(tf.cast(tensor, dtype), 2, axis=-1)  # [batch, heads, time, dim / 2]
    turned = tf.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
    return tf.cast(turned, tensor.dtype)
