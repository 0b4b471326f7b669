"""Huber loss."""

from __future__ import annotations

import tensorflow as tf


def huber(predictions: tf.Tensor, targets: tf.Tensor, delta: float = 1.0) -> tf.Tensor:
    """Huber loss: quadratic for small errors and linear for large ones, so that outliers have less influence.

        loss = e^2 / 2 if |e| <= d, else d (|e| - d / 2)        e = prediction - target

    Args:
        predictions: <float>[...].
        targets: <float32>[...].
        delta: d, above 0.

    Returns:
        <float32>[...].

    Reference: Huber 1964, https://doi.org/10.1214/aoms/1177703732

    Examples:
        >>> huber(tf.constant([0.5, 3.0]), tf.constant([0.0, 0.0])).numpy().tolist()
        [0.125, 2.5]
    """
    error = tf.abs(tf.cast(predictions, tf.float32) - targets)
    clipped = tf.minimum(error, delta)
    return clipped * (error - 0.5 * clipped)
