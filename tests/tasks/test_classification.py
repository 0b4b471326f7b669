"""The loss of classifiers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.tasks import classification

LOGITS = tf.constant([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])


def model(inputs, training):
    return LOGITS


def loss(**targets):
    whole = {"labels": tf.constant([0, 2]), "weights": tf.ones([2]), **targets}
    total, count = classification.sums(model, {}, whole, training=True, label_smoothing=0.1)["loss"]
    return float(total), float(count)


def test_the_loss_of_mixed_images_is_mixed_from_that_of_both_labels():
    alone, count = loss()
    other, _ = loss(labels=tf.constant([1, 0]))
    shares = tf.constant([0.25, 0.25])
    mixed, mixed_count = loss(other_labels=tf.constant([1, 0]), label_shares=shares)
    assert mixed == pytest.approx(0.25 * alone + 0.75 * other, rel=1e-5)
    assert mixed_count == count
    whole, _ = loss(other_labels=tf.constant([1, 0]), label_shares=tf.ones([2]))
    np.testing.assert_allclose(whole, alone, rtol=1e-6)


def test_r_drop_adds_the_divergence_of_both_halves_to_the_loss():
    targets = {
        "labels": tf.constant([2, 2]),
        "weights": tf.ones([2]),
        "loss_weights": tf.constant([3.0, 3.0]),
    }
    plain = classification.sums(model, {}, targets, training=True, label_smoothing=0.1)
    drawn = classification.sums(model, {}, targets, training=True, label_smoothing=0.1, r_drop=2.0)
    first, second = tf.nn.softmax(LOGITS)
    both = keras.losses.kl_divergence(first, second) + keras.losses.kl_divergence(second, first)
    np.testing.assert_allclose(drawn["divergence"], [3.0 * both / 2, 3.0], rtol=1e-5)
    np.testing.assert_allclose(drawn["loss"], plain["loss"] + [2.0 * 3.0 * both / 2, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(drawn["accuracy"], plain["accuracy"])
