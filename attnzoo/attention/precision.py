"""The dtype in which sums and exponentials are computed."""

from __future__ import annotations

import tensorflow as tf


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """Casts a tensor to <float32>; <float64> is returned unchanged."""
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)
