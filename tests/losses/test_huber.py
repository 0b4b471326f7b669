import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from attnzoo.losses.huber import huber
from attnzoo.losses.squared_error import squared_error

ERRORS = np.random.default_rng(3).normal(size=211).astype(np.float32) * 3


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_value_and_gradient_are_those_of_scipy(delta):
    numbers = tf.constant(np.random.default_rng(5).normal(size=211) * 7, tf.float32)
    outputs = numbers + ERRORS
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = huber(outputs, numbers, delta)
        loss = tf.reduce_sum(losses)
    errors = (outputs - numbers).numpy()
    np.testing.assert_allclose(losses, special.huber(delta, errors), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, outputs), np.clip(errors, -delta, delta), atol=1e-6)


@given(st.floats(-1e3, 1e3, width=32), st.floats(1e-3, 1e3))
def test_it_never_exceeds_the_squared_error_and_is_symmetric(error, delta):
    actual = huber(tf.constant([error, -error]), tf.constant([0.0, 0.0]), delta).numpy()
    assert actual[0] == actual[1] >= 0
    assert actual[0] <= squared_error(tf.constant([error]), tf.constant([0.0])).numpy()[0] * (1 + 1e-5)


def test_where_all_errors_are_small_it_is_the_squared_error():
    outputs, zeros = tf.constant(ERRORS), tf.zeros(211)
    np.testing.assert_allclose(huber(outputs, zeros, 1e3), squared_error(outputs, zeros), rtol=1e-6)


@pytest.mark.parametrize("loss", [huber, squared_error])
def test_half_precision_outputs_are_compared_in_float32(loss):
    actual = loss(tf.constant([1.5], tf.bfloat16), tf.constant([1.0009765625]))
    assert actual.dtype == tf.float32
    np.testing.assert_allclose(actual, [0.5 * 0.4990234375**2], rtol=1e-6)
