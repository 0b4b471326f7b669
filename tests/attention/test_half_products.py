"""Half-precision products with sums in float32, and the reference that is made of them on a GPU."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.devices import assumed_gpu
from attnzoo.attention.kernel import attention
from attnzoo.attention.precision import half_product

UNIT = {tf.bfloat16: 2.0**-8, tf.float16: 2.0**-11}
"""Largest relative error of a rounding."""
SHAPE = [2, 3, 29, 16]


def normal(seed, shape, dtype, mean=0.0, scale=1.0):
    return tf.cast(np.random.default_rng(seed).normal(mean, scale, shape), dtype)


def float64(tensor):
    return tf.cast(tensor, tf.float64).numpy()


def relative_rms(actual, expected):
    return np.sqrt(np.mean((float64(actual) - expected) ** 2) / np.mean(expected**2))


@pytest.mark.parametrize(
    ("left_dtype", "dtype"), [(tf.bfloat16, tf.bfloat16), (tf.float32, tf.float16)], ids=["half", "float32"]
)
def test_a_product_and_its_gradients_are_those_of_the_matrices(left_dtype, dtype):
    left = normal(1, [5, 7, 11], left_dtype)
    right, upstream = normal(2, [5, 11, 13], dtype), normal(3, [5, 7, 13], tf.float32)

    @tf.function(jit_compile=True)
    def run(left, right, upstream):
        with tf.GradientTape() as tape:
            tape.watch([left, right])
            product = half_product(left, right)
        return product, *tape.gradient(product, [left, right], upstream)

    product, grad_left, grad_right = run(left, right, upstream)
    assert (product.dtype, grad_left.dtype, grad_right.dtype) == (tf.float32, left.dtype, dtype)
    pairs = (
        (product, float64(left) @ float64(right)),
        (grad_left, float64(upstream) @ float64(right).swapaxes(1, 2)),
        (grad_right, float64(left).swapaxes(1, 2) @ float64(upstream)),
    )
    for actual, expected in pairs:
        assert relative_rms(actual, expected) < UNIT[dtype]


def gradients(query, key, value, upstream):
    """Returns the gradients of the reference."""
    sources = [query, key, value]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output = attention(*sources, implementation="reference")
    return tape.gradient(output, sources, upstream)


def gradients_of_a_gpu(*tensors):
    with assumed_gpu():
        return tf.function(gradients, jit_compile=True, autograph=False)(*tensors)


@pytest.mark.parametrize(
    "dtype", [tf.bfloat16, pytest.param(tf.float16, marks=pytest.mark.slow)], ids=lambda dtype: dtype.name
)
def test_gradients_of_the_reference_are_as_exact_as_with_float32_products_where_values_have_a_mean(dtype):
    query, key, value = (normal(seed, SHAPE, dtype, mean) for seed, mean in enumerate((0, 0, 10)))
    upstream = normal(3, SHAPE, dtype)
    expected = gradients(*(tf.cast(one, tf.float64) for one in (query, key, value, upstream)))
    float32_products = gradients(query, key, value, upstream)
    half_products = gradients_of_a_gpu(query, key, value, upstream)
    for wide, half, exact in zip(float32_products, half_products, expected, strict=True):
        assert relative_rms(half, exact.numpy()) < 2 * max(relative_rms(wide, exact.numpy()), UNIT[dtype] / 2)


def test_scaled_losses_do_not_overflow_in_the_gradient_of_the_weights():
    query, key = (normal(seed, SHAPE, tf.float16, scale=0.1) for seed in (1, 2))
    value, upstream = normal(3, SHAPE, tf.float16, mean=10), normal(4, SHAPE, tf.float16, scale=4096)
    assert np.isfinite(upstream).all()
    assert all(np.isfinite(one).all() for one in gradients_of_a_gpu(query, key, value, upstream))
