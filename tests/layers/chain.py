"""A stand-in for a translation model whose best sequences can be found by trying all of them."""

import itertools

import numpy as np
import tensorflow as tf

from attnzoo.special_tokens import END, PADDING, START

VOCABULARY = 7
OTHERS = [token for token in range(VOCABULARY) if token not in (PADDING, START, END)]


class Chain:
    """Each token depends on the one before and on the position."""

    def __init__(self, seed, length, sharpness=1.0):
        table = np.random.default_rng(seed).normal(size=(length, VOCABULARY, VOCABULARY)) * sharpness
        self.table = tf.nn.log_softmax(tf.constant(table, tf.float32))

    def encode(self, source, training=None):
        return tf.shape(source)[0], source != 0

    def start(self, encoded, beams, max_length):
        return tf.zeros([encoded, beams])

    def grow(self, caches, beams, max_length):
        return caches

    def step(self, tokens, caches, position, ancestry, source_mask):
        mask = tf.cast(source_mask, tf.float32)[:, None] + tf.zeros([1, tokens.shape[1], 1])
        return tf.gather(self.table[position], tokens), caches, mask / tf.reduce_sum(mask, -1, keepdims=True)

    def log_probability(self, tokens):
        before = [START, *tokens[:-1]]
        return sum(float(self.table[t, p, n]) for t, (p, n) in enumerate(zip(before, tokens, strict=True)))


def all_sequences(length):
    """Every sequence that ends with END, of at most `length` tokens."""
    for count in range(length):
        for tokens in itertools.product(OTHERS, repeat=count):
            yield [*tokens, END]


def generated(tokens):
    """The ids of a row up to END."""
    ids = [int(token) for token in tokens]
    return ids[: ids.index(END) + 1]
