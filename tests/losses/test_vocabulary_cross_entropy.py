"""The loss over a large vocabulary equals the plain one and never holds all logits."""

import contextlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.devices import assumed_gpu
from attnzoo.losses import vocabulary_cross_entropy as module
from attnzoo.losses.cross_entropy import cross_entropy
from attnzoo.losses.vocabulary_cross_entropy import VocabularyLoss, vocabulary_cross_entropy
from tests.thinned import thinned

ROWS, UNITS, CLASSES = 23, 7, 31


def arguments(rows=ROWS, dtype=tf.float32):
    generator = np.random.default_rng(3)
    hidden = tf.constant(generator.normal(size=(rows, UNITS)), dtype)
    table = tf.constant(generator.normal(size=(CLASSES, UNITS)), tf.float32)
    labels = tf.constant(generator.integers(0, CLASSES, rows), tf.int32)
    return hidden, table, labels, tf.constant(generator.integers(0, 3, rows), tf.float32)


def pairs(dtype=tf.float32):
    """Arguments whose second half has the labels and weights of the first."""
    hidden, table, labels, weights = arguments(2 * ROWS, dtype)
    return hidden, table, tf.tile(labels[:ROWS], [2]), tf.tile(weights[:ROWS], [2])


def plain_loss(hidden, table, labels, weights, label_smoothing, r_drop=0.0):
    logits = tf.matmul(tf.cast(hidden, tf.float32), table, transpose_b=True)
    losses = cross_entropy(logits, labels, label_smoothing)
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)
    divergence = tf.constant(0.0)
    if r_drop:
        first, second = tf.split(tf.nn.softmax(logits), 2)
        both = keras.losses.kl_divergence(first, second) + keras.losses.kl_divergence(second, first)
        divergence = tf.reduce_sum(both / 2 * tf.split(weights, 2)[0])
    loss = tf.reduce_sum(losses * weights) + r_drop * divergence
    return VocabularyLoss(loss, tf.reduce_sum(correct * weights), divergence)


def with_gradients(function, hidden, table, *others):
    with tf.GradientTape() as tape:
        tape.watch([hidden, table])
        actual = function(hidden, table, *others)
        scaled = 3.0 * actual.loss
    return [*actual, *tape.gradient(scaled, [hidden, table])]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", thinned([5, 23, 1, 64], 2))
def test_loss_and_gradients_equal_the_plain_ones(monkeypatch, chunk, label_smoothing, compiled):
    monkeypatch.setattr(module, "chunk_elements", lambda: chunk * CLASSES)
    compute = tf.function(with_gradients, jit_compile=True) if compiled else with_gradients
    actual = compute(vocabulary_cross_entropy, *arguments(), label_smoothing)
    for value, expected in zip(
        actual, with_gradients(plain_loss, *arguments(), label_smoothing), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("chunk", [1, 5, 23, 64])
def test_loss_and_gradients_of_pairs_equal_the_plain_ones(monkeypatch, chunk, compiled):
    monkeypatch.setattr(module, "chunk_elements", lambda: 2 * chunk * CLASSES)
    compute = tf.function(with_gradients, jit_compile=True) if compiled else with_gradients
    actual = compute(vocabulary_cross_entropy, *pairs(), 0.1, 5.0)
    assert actual[2] > 1.0
    for value, expected in zip(actual, with_gradients(plain_loss, *pairs(), 0.1, 5.0), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def test_equal_pairs_do_not_diverge():
    hidden, table, labels, weights = arguments()
    single = with_gradients(vocabulary_cross_entropy, hidden, table, labels, weights, 0.1)
    duplicated = [tf.concat([part, part], 0) for part in (hidden, labels, weights)]
    pair = with_gradients(vocabulary_cross_entropy, duplicated[0], table, *duplicated[1:], 0.1, 5.0)
    np.testing.assert_allclose(pair[2], 0.0, atol=1e-5)
    np.testing.assert_allclose(pair[0], 2.0 * single[0], rtol=1e-5)
    np.testing.assert_allclose(pair[3][:ROWS], single[3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pair[4], 2.0 * single[4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("r_drop", [0.0, 5.0])
def test_huge_logits_stay_finite(r_drop):
    hidden, table, labels, weights = pairs()
    values = with_gradients(vocabulary_cross_entropy, hidden * 1e4, table, labels, weights, 0.1, r_drop)
    assert all(np.isfinite(value).all() for value in values)


@pytest.mark.parametrize("r_drop", [0.0, 5.0])
def test_rows_of_weight_zero_get_no_gradient(r_drop):
    hidden, table, labels, weights = pairs()
    gradient = with_gradients(vocabulary_cross_entropy, hidden, table, labels, weights, 0.1, r_drop)[3]
    np.testing.assert_array_equal(gradient.numpy()[weights.numpy() == 0], 0.0)


@pytest.mark.parametrize("r_drop", [0.0, 2.0])
def test_half_precision_is_close(monkeypatch, r_drop):
    monkeypatch.setattr(module, "chunk_elements", lambda: 5 * CLASSES)
    actual = with_gradients(vocabulary_cross_entropy, *pairs(dtype=tf.bfloat16), 0.1, r_drop)
    assert actual[3].dtype == tf.bfloat16
    assert actual[4].dtype == tf.float32
    expected = with_gradients(plain_loss, *pairs(), 0.1, r_drop)
    for value, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(tf.cast(value, tf.float32), wanted, rtol=0.05, atol=0.2)


def test_memory_does_not_grow_with_rows_times_classes():
    rows, classes = 4096, 5000
    hidden, table = tf.zeros([rows, 3]), tf.zeros([classes, 3])
    labels, weights = tf.zeros([rows], tf.int32), tf.ones([rows])

    @tf.function(jit_compile=True)
    def compute(hidden, table):
        return with_gradients(vocabulary_cross_entropy, hidden, table, labels, weights, 0.1)

    text = compute.experimental_get_compiler_ir(hidden, table)(stage="optimized_hlo")
    shapes = {tuple(map(int, shape.split(","))) for shape in re.findall(r"f32\[([\d,]+)\]", text)}
    assert max(np.prod(shape) for shape in shapes) < rows * classes / 4


@pytest.mark.parametrize(("gpu", "device", "chunk"), [(0, None, 2078), (1, None, 3001), (1, "CPU", 2078)])
def test_chunks_are_those_of_the_device_that_the_loss_is_placed_on(gpu, device, chunk):
    rows, classes = 3001, 1009

    @tf.function(jit_compile=True, autograph=False)
    def compute(hidden, table):
        labels, weights = tf.zeros([rows], tf.int32), tf.ones([rows])
        with tf.device(device):
            return vocabulary_cross_entropy(hidden, table, labels, weights)

    with assumed_gpu() if gpu else contextlib.nullcontext():
        lowered = compute.experimental_get_compiler_ir(tf.zeros([rows, 3]), tf.zeros([classes, 3]))
    widths = re.findall(rf"f32\[{classes},(\d+)\]", lowered(stage="hlo"))
    assert max(map(int, widths)) == chunk
