"""The loss, the predictions and the sample rows of classifiers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.data.pipeline import BatchSizes
from attnzoo.features.label import Label
from attnzoo.losses import r_drop
from attnzoo.tasks import one_target
from tests.tasks.examples import image_examples

TASK = tasks.load("image_classification")
LOGITS = tf.constant([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])


def model(inputs, training):
    return LOGITS


def loss(**targets):
    whole = {"labels": tf.constant([0, 2]), "weights": tf.ones([2]), **targets}
    total, count = TASK.sums(model, {}, whole, TASK.TrainOptions(label_smoothing=0.1))["loss"]
    return float(total), float(count)


def test_the_loss_of_mixed_images_is_mixed_from_that_of_both_labels():
    alone, count = loss()
    other, _ = loss(labels=tf.constant([1, 0]))
    shares = tf.constant([0.25, 0.25])
    mixed, mixed_count = loss(other_labels=tf.constant([1, 0]), label_fractions=shares)
    assert mixed == pytest.approx(0.25 * alone + 0.75 * other, rel=1e-5)
    assert mixed_count == count
    whole, _ = loss(other_labels=tf.constant([1, 0]), label_fractions=tf.ones([2]))
    np.testing.assert_allclose(whole, alone, rtol=1e-6)


def test_r_drop_adds_the_divergence_of_both_halves_to_the_loss():
    targets = {"labels": tf.constant([2]), "weights": tf.ones([1]), "loss_weights": tf.constant([3.0])}
    plain = TASK.sums(model, {}, r_drop.duplicate(targets), TASK.TrainOptions(label_smoothing=0.1))
    drawn = TASK.sums(model, {}, targets, TASK.TrainOptions(label_smoothing=0.1, r_drop=2.0))
    first, second = tf.nn.softmax(LOGITS)
    both = keras.losses.kl_divergence(first, second) + keras.losses.kl_divergence(second, first)
    np.testing.assert_allclose(drawn["divergence"], [3.0 * both / 2, 3.0], rtol=1e-5)
    np.testing.assert_allclose(drawn["loss"], plain["loss"] + [2.0 * 3.0 * both / 2, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(drawn["accuracy"], plain["accuracy"])


def test_predictions_of_more_classes_than_can_be_held_are_not_made():
    examples, info = image_examples(5)
    names = tuple(map(str, range(one_target.MAX_OUTPUTS + 1)))
    many = dataclasses.replace(info, features={**info.features, "label": Label(names=names)})
    assert TASK.predictions(None, examples, many, BatchSizes(2)) is None


def test_sample_rows_are_of_the_examples_that_are_asked_for():
    examples, info = image_examples(5)
    table = tf.eye(3)

    def predict(inputs):
        return tf.gather(table, tf.zeros(tf.shape(inputs["image"])[0], tf.int32))

    rows = TASK.rows(predict, examples, info, BatchSizes(2), np.array([1, 3, 4]))
    assert [row["image"] for row in rows] == ["number 1", "number 3", "number 4"]
    assert rows[0] == {
        "image": "number 1",
        "label": info.features["label"].names[examples.encoded["label"][1]],
        "predicted": "a",
        "probability": "1.000",
    }
