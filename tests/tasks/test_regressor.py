"""The loss and the batches of regressors."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from attnzoo import tasks
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.number import Number

TASK = tasks.load("image_regression")
OUTPUTS = np.array([0.5, -2.0, 0.25, 7.0], np.float32)
NUMBERS = np.array([0.0, 1.0, 0.5, 0.0], np.float32)
WEIGHTS = np.array([1.0, 1.0, 1.0, 0.0], np.float32)


def sums_of(options):
    targets = {"numbers": NUMBERS, "weights": WEIGHTS, "unit": np.full(4, 3.0, np.float32)}
    targets = {name: tf.constant(value) for name, value in targets.items()}
    return TASK.sums(lambda inputs, training: tf.constant(OUTPUTS)[:, None], {}, targets, options)


@pytest.mark.parametrize("delta", [0.4, 1.0])
def test_the_loss_is_the_one_that_the_options_name_and_errors_have_the_unit_of_the_numbers(delta):
    errors = (OUTPUTS - NUMBERS)[:3]
    result = sums_of(TASK.TrainOptions(huber_delta=delta))
    np.testing.assert_allclose(result["loss"], [special.huber(delta, errors).sum(), 3.0], rtol=1e-6)
    np.testing.assert_allclose(result["mae"], [3.0 * np.abs(errors).sum(), 3.0], rtol=1e-6)
    squared = sums_of(TASK.TrainOptions(loss="squared"))
    np.testing.assert_allclose(squared["loss"], [(errors**2).sum() / 2, 3.0], rtol=1e-6)
    np.testing.assert_array_equal(squared["mae"], result["mae"])


def test_evaluations_have_one_loss_whatever_training_had():
    np.testing.assert_array_equal(sums_of(None)["loss"], sums_of(TASK.TrainOptions())["loss"])


def examples_of(count):
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (count, 5, 7, 1)).astype(np.uint8)
    numbers = (100.0 + 20.0 * generator.normal(size=count)).astype(np.float32)
    features = {
        "image": Image(shape=(5, 7, 1), mean=(0.5,), std=(0.3,)),
        "label": Number(mean=100.0, std=20.0),
    }
    columns = {"image": images, "label": numbers}
    return Examples(columns, np.zeros(count, np.int32), Split(columns, "made")), DataInfo(TASK.name, features)


def test_targets_are_standard_deviations_from_the_mean():
    examples, info = examples_of(13)
    plans = pipeline.evaluation_plans(examples, info, pipeline.BatchSizes(5))
    seen = 0
    for inputs, targets in pipeline.batches(examples, info, plans, TASK.make_batch(info, examples, None)):
        assert inputs["image"].shape == (5, 5, 7, 1)
        numbers = examples.encoded["label"][targets["indices"].numpy()]
        np.testing.assert_allclose(targets["numbers"], (numbers - 100.0) / 20.0, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(targets["unit"], np.full(5, 20.0))
        seen += int(tf.reduce_sum(targets["weights"]))
    assert seen == 13


def test_numbers_of_mixed_images_are_mixed_alike():
    examples, info = examples_of(11)
    numbers = tf.constant(examples.encoded["label"][:3])
    partners, fractions = tf.constant([1, 2, 0]), tf.constant([1.0, 0.25, 0.5])
    values = {
        "image": tf.zeros([3, 5, 7, 1]),
        "label": numbers,
        "mixture_partners": partners,
        "mixture_fractions": fractions,
    }
    row = pipeline.Row(values, tf.ones([3]), tf.range(3), tf.zeros([3, 2], tf.int32))
    _, targets = TASK.make_batch(info, examples, TASK.TrainOptions())(row)
    one, two, three = (numbers.numpy() - 100.0) / 20.0
    expected = [one, 0.25 * two + 0.75 * three, 0.5 * three + 0.5 * one]
    np.testing.assert_allclose(targets["numbers"], expected, rtol=1e-5)
