"""Squared error."""

from __future__ import annotations

import tensorflow as tf


def squared_error(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Half the squared error, which is minimized by the mean of the targets.

        loss = (prediction - target)^2 / 2

    Args:
        predictions: <float>[...].
        targets: <float32>[...].

    Returns:
        <float32>[...].

    Examples:
        >>> squared_error(tf.constant([3.0]), tf.constant([1.0])).numpy().tolist()
        [2.0]
    """
    return 0.5 * tf.square(tf.cast(predictions, tf.float32) - targets)
