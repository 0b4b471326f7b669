import numpy as np
import tensorflow as tf

from attnzoo.layers.constraints import Constraints
from attnzoo.layers.decoding import generate
from attnzoo.special_tokens import END, PADDING


class Counter:
    """Generates ids from 5 on, one per source token, then END; stands in for a model."""

    def encode(self, source, training=None):
        return tf.reduce_sum(tf.cast(source != 0, tf.int32), axis=1), source != 0

    def start(self, encoded, beams, max_length):
        self.wanted = encoded[:, None]
        return tf.zeros_like(self.wanted)

    def grow(self, caches, beams, max_length):
        return caches

    def step(self, tokens, caches, position, ancestry, source_mask):
        token = tf.where(caches >= self.wanted, END, 5 + caches)  # [batch, 1]
        mask = tf.cast(source_mask, tf.float32)[:, None]
        weights = mask / tf.reduce_sum(mask, axis=-1, keepdims=True)
        return tf.one_hot(token, 27, 40.0), caches + 1, weights


def test_greedy_decoding_stops_each_row_at_its_end_and_pads_the_rest():
    source = tf.constant([[4, 4, 0], [4, 4, 4]])
    actual = generate([Counter()], source, 7)
    alignment = actual.alignment[:, 0]
    np.testing.assert_array_equal(
        actual.tokens[:, 0],
        [[5, 6, END, PADDING, PADDING, PADDING, PADDING], [5, 6, 7, END, PADDING, PADDING, PADDING]],
    )
    np.testing.assert_allclose(alignment[0, :3], [[0.5, 0.5, 0.0]] * 3)
    np.testing.assert_array_equal(alignment[:, 4:], np.zeros((2, 3, 3)))


def test_greedy_decoding_never_exceeds_its_limit():
    actual = generate([Counter()], tf.ones([2, 11], tf.int32), 5)
    np.testing.assert_array_equal(actual.tokens[:, 0], [[5, 6, 7, 8, END]] * 2)
    actual = generate(
        [Counter()], tf.constant([[1, 0, 0, 0], [1, 1, 1, 1]]), 99, constraints=Constraints(0.5)
    )
    assert tf.math.count_nonzero(actual.tokens[:, 0], axis=1).numpy().tolist() == [2, 5]


def test_compiled_decoding_gives_the_same_tokens():
    source = tf.constant([[4, 0, 0], [4, 4, 4]])
    compiled = tf.function(lambda ids: generate([Counter()], ids, 5).tokens, jit_compile=True)
    np.testing.assert_array_equal(compiled(source), generate([Counter()], source, 5).tokens)
