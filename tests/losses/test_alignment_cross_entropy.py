import math

import numpy as np
import tensorflow as tf
from scipy import special

from attnzoo.losses.alignment_cross_entropy import MIN_ATTENTION, alignment_cross_entropy


def test_value_and_gradient_are_those_of_the_cross_entropy():
    generator = np.random.default_rng(3)
    attention = special.softmax(generator.normal(size=(2, 5, 7)), axis=-1).astype(np.float32)
    guide = generator.dirichlet(np.ones(7), (2, 5)).astype(np.float32) * 0.3
    guide[0, 1] = 0.0  # a token without a link
    attention = tf.constant(attention)
    with tf.GradientTape() as tape:
        tape.watch(attention)
        loss = alignment_cross_entropy(attention, tf.constant(guide))
    np.testing.assert_allclose(loss, -(guide * np.log(attention)).sum(), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, attention), -guide / attention, rtol=1e-5)


def test_it_is_smallest_if_attention_equals_the_alignment():
    guide = np.random.default_rng(5).dirichlet(np.ones(7), (3, 5)).astype(np.float32)
    least = alignment_cross_entropy(guide, guide)
    np.testing.assert_allclose(least, special.entr(guide).sum(), rtol=1e-5)
    for fraction in (0.1, 0.5):
        other = (1 - fraction) * guide + fraction / 7
        assert alignment_cross_entropy(other, guide) > least


def test_no_attention_stays_finite():
    attention, guide = tf.constant([[[0.0, 1.0]]]), tf.constant([[[1.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(attention)
        loss = alignment_cross_entropy(attention, guide)
    np.testing.assert_allclose(loss, -math.log(MIN_ATTENTION), rtol=1e-5)
    assert np.isfinite(tape.gradient(loss, attention)).all()
