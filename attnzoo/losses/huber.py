"""Huber loss."""

from __future__ import annotations

import tensorflow as tf


def huber(outputs: tf.Tensor, numbers: tf.Tensor, delta: float = 1.0) -> tf.Tensor:
    """Square of small errors, and distance of large ones, so that outliers do not rule.

        loss = e^2 / 2 where |e| <= d, else d (|e| - d / 2)        e = output - number

    Args:
        outputs: <float>[...].
        numbers: <float32>[...], the true ones.
        delta: d, above 0.

    Returns:
        <float32>[...].

    Reference: Huber 1964, https://doi.org/10.1214/aoms/1177703732

    Examples:
        >>> huber(tf.constant([0.5, 3.0]), tf.constant([0.0, 0.0])).numpy().tolist()
        [0.125, 2.5]
    """
    distance = tf.abs(tf.cast(outputs, tf.float32) - numbers)
    near = tf.minimum(distance, delta)
    return near * (distance - 0.5 * near)
