import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sklearn import metrics

from attnzoo.losses.binary_cross_entropy import binary_cross_entropy

CLASSES = 7


def arguments():
    generator = np.random.default_rng(3)
    logits = tf.constant(generator.normal(size=(5, CLASSES)) * 3, tf.float32)
    return logits, tf.constant(generator.integers(0, 2, (5, CLASSES)), tf.float32)


def test_it_is_the_log_loss_of_scikit_learn_for_every_row():
    logits, labels = arguments()
    probabilities = special.expit(logits.numpy().astype(np.float64))
    expected = [
        metrics.log_loss(*row, labels=[0, 1]) for row in zip(labels.numpy(), probabilities, strict=True)
    ]
    np.testing.assert_allclose(binary_cross_entropy(logits, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_value_and_gradient_are_those_of_the_smoothed_target(smoothing):
    logits, labels = arguments()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = binary_cross_entropy(logits, labels, smoothing)
        loss = tf.reduce_sum(losses)
    target = labels.numpy() * (1 - smoothing) + smoothing / 2
    log_p, log_not_p = special.log_expit(logits.numpy()), special.log_expit(-logits.numpy())
    expected = -(target * log_p + (1 - target) * log_not_p).mean(axis=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    slope = (special.expit(logits.numpy()) - target) / CLASSES
    np.testing.assert_allclose(tape.gradient(loss, logits), slope, atol=1e-6)


def test_swapping_having_and_not_having_changes_nothing():
    logits, labels = arguments()
    expected = binary_cross_entropy(logits, labels, 0.1)
    np.testing.assert_allclose(binary_cross_entropy(-logits, 1.0 - labels, 0.1), expected, rtol=1e-6)


def test_huge_logits_stay_finite():
    losses = binary_cross_entropy(tf.constant([[1e30, -1e30]]), tf.constant([[0.0, 0.0]]))
    np.testing.assert_allclose(losses, [5e29], rtol=1e-6)
