import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from attnzoo.losses.cross_entropy import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_smoothed_cross_entropy_is_that_of_the_smoothed_target(smoothing):
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(7, 11)).astype(np.float32)
    labels = generator.integers(0, 11, 7).astype(np.int32)
    target = np.eye(11)[labels] * (1 - smoothing) + smoothing / 11
    expected = keras.losses.categorical_crossentropy(target, logits, from_logits=True)
    actual = cross_entropy(tf.constant(logits), tf.constant(labels), smoothing)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_half_precision_logits_are_scored_in_float32():
    logits = tf.constant([[0.0, 12.0]], tf.float16)
    loss = cross_entropy(logits, tf.constant([1]), 0.0)
    assert loss.dtype == tf.float32
    assert float(loss[0]) == pytest.approx(math.log1p(math.exp(-12.0)), rel=2e-2)


def arguments():
    generator = np.random.default_rng(5)
    logits = tf.constant(generator.normal(size=(3, 7, 11)) * 3, tf.float32)
    return logits, tf.constant(generator.integers(0, 11, (3, 7)), tf.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_the_prediction_minus_the_target(smoothing):
    logits, labels = arguments()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(cross_entropy(logits, labels, smoothing))
    target = np.eye(11)[labels.numpy()] * (1 - smoothing) + smoothing / 11
    expected = special.softmax(logits.numpy(), axis=-1) - target
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_common_offset_of_the_logits_changes_nothing(smoothing):
    logits, labels = arguments()
    expected = cross_entropy(logits, labels, smoothing)
    np.testing.assert_allclose(cross_entropy(logits + 13.0, labels, smoothing), expected, atol=1e-5)
