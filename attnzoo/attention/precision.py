"""The dtype in which sums and exponentials are computed."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.compilation import in_compiled_function
from attnzoo.attention.devices import device_type


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """Casts a tensor to <float32>; <float64> is returned unchanged."""
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


@tf.custom_gradient
def half_product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiplies half-precision matrices with sums in float32, as the tensor cores of a GPU do.

    Gradients are products of the same kind, of an upstream that is rounded to half precision. That of a
    <float32> operand is not rounded: the gradient of a softmax subtracts nearly equal numbers from it.

    Args:
        left: <bfloat16, float16 or float32>[..., row, inner], rounded to the dtype of `right`.
        right: <bfloat16 or float16>[..., inner, column].

    Returns:
        <float32>[..., row, column].
    """
    rounded = tf.cast(left, right.dtype)

    def gradient(upstream):
        upstream = tf.cast(upstream, right.dtype)
        grad_left = half_product(upstream, tf.linalg.matrix_transpose(right))
        grad_right = half_product(tf.linalg.matrix_transpose(rounded), upstream)
        return tf.cast(grad_left, left.dtype), tf.cast(grad_right, right.dtype)

    return tf.matmul(rounded, right, output_type=tf.float32), gradient


def uses_half_products(dtype: tf.DType) -> bool:
    """Returns whether matrices of this dtype are multiplied without a cast to float32 here.

    They are where XLA compiles for a GPU; elsewhere that would be slower, or round the sums.
    """
    return dtype in (tf.bfloat16, tf.float16) and in_compiled_function() and device_type() == "GPU"
