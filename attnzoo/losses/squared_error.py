"""Squared error."""

from __future__ import annotations

import tensorflow as tf


def squared_error(outputs: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Half the square of the error: what it teaches is the mean of the numbers.

        loss = (output - number)^2 / 2

    Args:
        outputs: <float>[...].
        numbers: <float32>[...], the true ones.

    Returns:
        <float32>[...].

    Examples:
        >>> squared_error(tf.constant([3.0]), tf.constant([1.0])).numpy().tolist()
        [2.0]
    """
    return 0.5 * tf.square(tf.cast(outputs, tf.float32) - numbers)
