import numpy as np
import tensorflow as tf
from scipy import special

from attnzoo.losses import r_drop


def logits_of(seed=3, rows=6, classes=11):
    return tf.constant(np.random.default_rng(seed).normal(size=(rows, 5, classes)) * 2, tf.float32)


def test_it_is_the_mean_of_both_kullback_leibler_divergences():
    logits = logits_of()
    first, second = np.split(special.softmax(logits.numpy().astype(np.float64), axis=-1), 2)
    both = special.rel_entr(first, second).sum(axis=-1) + special.rel_entr(second, first).sum(axis=-1)
    actual = r_drop.divergence(tf.nn.log_softmax(logits))
    assert actual.shape == (3, 5)
    np.testing.assert_allclose(actual, both / 2, rtol=1e-4, atol=1e-6)


def test_it_is_the_same_for_both_orders_and_0_for_equal_passes():
    first, second = tf.split(tf.nn.log_softmax(logits_of()), 2)
    actual = r_drop.divergence(tf.concat([first, second], 0))
    np.testing.assert_allclose(r_drop.divergence(tf.concat([second, first], 0)), actual, rtol=1e-6)
    np.testing.assert_array_equal(r_drop.divergence(r_drop.duplicate(first)), np.zeros((3, 5)))
    assert actual.numpy().min() > 0


def test_the_gradient_is_that_of_the_formula_of_the_large_vocabulary():
    logits = logits_of()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(r_drop.divergence(tf.nn.log_softmax(logits)))
    p, q = np.split(special.softmax(logits.numpy().astype(np.float64), axis=-1), 2)

    def slope(p, q):
        gap = np.log(p) - np.log(q)
        return (p * (gap - (p * gap).sum(axis=-1, keepdims=True)) + p - q) / 2

    expected = np.concatenate([slope(p, q), slope(q, p)])
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-5)


def test_a_nest_is_repeated_as_a_whole():
    batch = ({"text": tf.constant([[1, 2], [3, 4]])}, {"weights": tf.constant([0.0, 1.0])})
    inputs, targets = r_drop.duplicate(batch)
    np.testing.assert_array_equal(inputs["text"], [[1, 2], [3, 4], [1, 2], [3, 4]])
    np.testing.assert_array_equal(targets["weights"], [0.0, 1.0, 0.0, 1.0])
