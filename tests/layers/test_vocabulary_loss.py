"""The loss over a large vocabulary equals the plain one and never holds all logits."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers import vocabulary_loss as module
from attnzoo.layers.vocabulary_loss import vocabulary_loss
from attnzoo.tasks import scoring

ROWS, UNITS, CLASSES = 23, 7, 31


def arguments(rows=ROWS, dtype=tf.float32):
    generator = np.random.default_rng(3)
    hidden = tf.constant(generator.normal(size=(rows, UNITS)), dtype)
    table = tf.constant(generator.normal(size=(CLASSES, UNITS)), tf.float32)
    labels = tf.constant(generator.integers(0, CLASSES, rows), tf.int32)
    return hidden, table, labels, tf.constant(generator.integers(0, 3, rows), tf.float32)


def plain_loss(hidden, table, labels, weights, label_smoothing):
    logits = tf.matmul(tf.cast(hidden, tf.float32), table, transpose_b=True)
    losses = scoring.smoothed_cross_entropy(logits, labels, label_smoothing)
    right = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)
    return tf.reduce_sum(losses * weights), tf.reduce_sum(right * weights)


def with_gradients(function, hidden, table, *others):
    with tf.GradientTape() as tape:
        tape.watch([hidden, table])
        loss, right = function(hidden, table, *others)
        scaled = 3.0 * loss
    return [loss, right, *tape.gradient(scaled, [hidden, table])]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 5, 23, 64])
def test_loss_and_gradients_equal_the_plain_ones(monkeypatch, chunk, label_smoothing, compiled):
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", chunk * CLASSES)
    compute = tf.function(with_gradients, jit_compile=True) if compiled else with_gradients
    found = compute(vocabulary_loss, *arguments(), label_smoothing)
    for value, expected in zip(found, with_gradients(plain_loss, *arguments(), label_smoothing), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_huge_logits_stay_finite():
    hidden, table, labels, weights = arguments()
    values = with_gradients(vocabulary_loss, hidden * 1e4, table, labels, weights, 0.1)
    assert all(np.isfinite(value).all() for value in values)


def test_rows_of_weight_zero_get_no_gradient():
    hidden, table, labels, weights = arguments()
    _, _, gradient, _ = with_gradients(vocabulary_loss, hidden, table, labels, weights, 0.1)
    np.testing.assert_array_equal(gradient.numpy()[weights.numpy() == 0], 0.0)


def test_half_precision_is_near(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 5 * CLASSES)
    found = with_gradients(vocabulary_loss, *arguments(dtype=tf.bfloat16), 0.1)
    assert found[2].dtype == tf.bfloat16
    assert found[3].dtype == tf.float32
    expected = with_gradients(plain_loss, *arguments(), 0.1)
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(tf.cast(value, tf.float32), wanted, rtol=0.05, atol=0.2)


def test_memory_does_not_grow_with_rows_times_classes():
    rows, classes = 4096, 5000
    hidden, table = tf.zeros([rows, 3]), tf.zeros([classes, 3])
    labels, weights = tf.zeros([rows], tf.int32), tf.ones([rows])

    @tf.function(jit_compile=True)
    def compute(hidden, table):
        return with_gradients(vocabulary_loss, hidden, table, labels, weights, 0.1)

    text = compute.experimental_get_compiler_ir(hidden, table)(stage="optimized_hlo")
    shapes = {tuple(map(int, shape.split(","))) for shape in re.findall(r"f32\[([\d,]+)\]", text)}
    assert max(np.prod(shape) for shape in shapes) < rows * classes / 4
