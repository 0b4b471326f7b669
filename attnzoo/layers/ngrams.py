"""Embeddings of token n-grams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive

_PRIME = 2**31 - 1
_BASE = 1_000_003


def ngram_hashes(ids: tf.Tensor, max_n: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields the hash of the n-gram that starts at each position, for n from 1 to `max_n`.

    Args:
        ids: <int>[batch, time]; 0 is padding.
        max_n: maximum length of an n-gram in tokens.

    Yields:
        Hashes <int64>[batch, time], 0 to 2^31 - 2 (for n = 1 the token id), and whether the n-gram is valid,
        that is, contains no padding, <bool>[batch, time].
    """
    ids = tf.cast(ids, tf.int64)
    time = keras.ops.shape(ids)[1]
    padded = tf.pad(ids, [[0, 0], [0, max_n - 1]])
    hashed, valid = ids, ids != 0  # each [batch, time]
    yield hashed, valid
    for number in range(1, max_n):
        next_ids = padded[:, number : number + time]
        hashed = (hashed * _BASE + next_ids) % _PRIME
        valid = valid & (next_ids != 0)
        yield hashed, valid


@keras.saving.register_keras_serializable("attnzoo")
class NGramEmbedding(keras.layers.Layer):
    """Sum of the embeddings of the n-grams that start at each position, n from 2 to `max_n`.

        y_t = sum over n of E[hash(x_t ... x_{t+n-1}) mod buckets]

    N-grams are hashed to rows of a table, so no vocabulary is needed; those with the same hash share a
    vector. Vectors start at zero: an n-gram that does not occur in training adds nothing, unless it shares
    its vector. N-grams that contain padding are ignored.

    Args:
        max_n: maximum length of an n-gram in tokens, 2 or more.
        buckets: number of rows of the table, 1 or more.
        units: width of a vector, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        ids: <int>[batch, time]; 0 is padding.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: an argument out of range.

    Reference: Joulin et al. 2016, https://arxiv.org/abs/1607.01759

    Examples:
        >>> NGramEmbedding(max_n=3, buckets=1000, units=8)(tf.constant([[3, 5, 7, 0]])).shape
        TensorShape([1, 4, 8])
    """

    def __init__(self, max_n: int, buckets: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_n = check_positive("max_n", max_n, minimum=2)
        self.buckets = check_positive("buckets", buckets)
        self.units = check_positive("units", units)

    def build(self, ids_shape=None):
        """Creates the table."""
        self.embeddings = self.add_weight(
            shape=(self.buckets, self.units), initializer="zeros", name="embeddings", autocast=False
        )
        self.built = True

    def call(self, ids):
        """Sums the vectors."""
        total = None
        for hashed, valid in itertools.islice(ngram_hashes(ids, self.max_n), 1, None):
            rows = tf.cast(hashed % self.buckets, tf.int32)
            vectors = tf.cast(tf.gather(self.embeddings, rows), self.compute_dtype)  # [batch, time, units]
            vectors = tf.where(valid[..., None], vectors, tf.zeros([], vectors.dtype))
            total = vectors if total is None else total + vectors
        return total

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"max_n": self.max_n, "buckets": self.buckets, "units": self.units}
        return {**super().get_config(), **config}
