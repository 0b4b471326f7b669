import numpy as np
import tensorflow as tf
from sklearn import metrics

from attnzoo.losses.squared_error import squared_error


def test_value_and_gradient_are_those_of_half_the_square():
    generator = np.random.default_rng(3)
    numbers = tf.constant(generator.normal(size=(7, 5)), tf.float32)
    outputs = tf.constant(generator.normal(size=(7, 5)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = squared_error(outputs, numbers)
        loss = tf.reduce_sum(losses)
    expected = metrics.mean_squared_error(numbers.numpy(), outputs.numpy()) / 2
    np.testing.assert_allclose(tf.reduce_mean(losses), expected, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, outputs), outputs - numbers, rtol=1e-6)


def test_one_output_for_all_numbers_is_best_at_their_mean():
    numbers = np.random.default_rng(5).exponential(size=211).astype(np.float32)
    candidates = np.linspace(-1.0, 5.0, 601, dtype=np.float32)
    losses = tf.reduce_mean(squared_error(candidates[:, None], numbers[None]), axis=1)
    assert abs(candidates[np.argmin(losses)] - numbers.mean()) <= 0.01
