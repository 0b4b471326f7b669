import numpy as np
import tensorflow as tf

from attnzoo.info import END, PADDING
from attnzoo.layers import decoding


class Counter:
    """Writes the ids from 5 on, as many as the source has tokens, then END; takes the place of a model."""

    def encode(self, source, training=None):
        return tf.reduce_sum(tf.cast(source != 0, tf.int32), axis=1), source != 0

    def start(self, encoded, max_length):
        self.wanted = encoded
        return [tf.zeros_like(encoded)]

    def step(self, tokens, caches, position, source_mask):
        (written,) = caches
        token = tf.where(written >= self.wanted, END, 5 + written)
        mask = tf.cast(source_mask, tf.float32)
        attended = mask / tf.reduce_sum(mask, axis=-1, keepdims=True)
        return tf.one_hot(token, 17), [written + 1], attended


def test_greedy_decoding_stops_each_row_at_its_end_and_pads_the_rest():
    source = tf.constant([[4, 4, 0], [4, 4, 4]])
    tokens, alignment = decoding.greedy(Counter(), source, 7)
    np.testing.assert_array_equal(
        tokens, [[5, 6, END, PADDING, PADDING, PADDING, PADDING], [5, 6, 7, END, PADDING, PADDING, PADDING]]
    )
    np.testing.assert_allclose(alignment[0, :3], [[0.5, 0.5, 0.0]] * 3)
    np.testing.assert_array_equal(alignment[:, 4:], np.zeros((2, 3, 3)))


def test_greedy_decoding_never_writes_more_than_its_limit():
    tokens, _ = decoding.greedy(Counter(), tf.ones([1, 11], tf.int32), 5)
    np.testing.assert_array_equal(tokens, [[5, 6, 7, 8, 9]])


def test_compiled_decoding_gives_the_same_tokens():
    source = tf.constant([[4, 0, 0], [4, 4, 4]])
    compiled = tf.function(lambda ids: decoding.greedy(Counter(), ids, 5), jit_compile=True)
    np.testing.assert_array_equal(compiled(source)[0], decoding.greedy(Counter(), source, 5)[0])
