"""The focal losses."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.losses.focal import focal
from attnzoo.losses.quality_focal import quality_focal

LOGITS = tf.constant(np.linspace(-9.0, 9.0, 37), tf.float32)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_without_focus_they_are_the_cross_entropy(label):
    labels = tf.fill([37], label)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, LOGITS)
    np.testing.assert_allclose(focal(LOGITS, labels, gamma=0.0, alpha=0.5), 0.5 * entropy, rtol=1e-5)
    np.testing.assert_allclose(quality_focal(LOGITS, labels, gamma=0.0), entropy, rtol=1e-5)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_for_whole_labels_the_quality_focal_loss_is_the_focal_one(label):
    labels = tf.fill([37], label)
    expected = 2.0 * focal(LOGITS, labels, alpha=0.5)
    np.testing.assert_allclose(quality_focal(LOGITS, labels), expected, rtol=1e-4, atol=1e-9)


def test_the_quality_focal_loss_is_smallest_at_the_quality():
    scores = np.linspace(0.05, 0.95, 19)
    logits = tf.constant(np.log(scores / (1.0 - scores)), tf.float32)
    labels = tf.repeat(tf.constant(scores[:, None], tf.float32), 19, axis=1)  # [score, logit]
    losses = quality_focal(tf.repeat(logits[None], 19, axis=0), labels).numpy()
    np.testing.assert_array_equal(losses.argmin(axis=1), np.arange(19))


@pytest.mark.parametrize("loss", [focal, quality_focal])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gradients_are_finite_for_answers_however_sure(loss, gamma):
    logits = tf.constant([-200.0, 0.0, 200.0] * 2)
    labels = tf.constant([0.0] * 3 + [1.0] * 3)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss(logits, labels, gamma)
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, logits)).all()
