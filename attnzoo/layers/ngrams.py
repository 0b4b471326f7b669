"""Vectors of pairs, triples and longer runs of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive

_PRIME = 2**31 - 1
_BASE = 1_000_003


def hashes(ids: tf.Tensor, longest: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields a hash of the n-gram that begins at each position, and whether it is one, for n from 1.

    Args:
        ids: <int>[batch, time]; 0 is padding, and an n-gram that runs into it is none.
        longest: most tokens of an n-gram.

    Yields:
        <int64>[batch, time], 0 to 2^31 - 2, of a single token its id, and <bool>[batch, time].
    """
    ids = tf.cast(ids, tf.int64)
    time = keras.ops.shape(ids)[1]
    padded = tf.pad(ids, [[0, 0], [0, longest - 1]])
    hashed, whole = ids, ids != 0  # each [batch, time]
    yield hashed, whole
    for number in range(1, longest):
        behind = padded[:, number : number + time]
        hashed = (hashed * _BASE + behind) % _PRIME
        whole = whole & (behind != 0)
        yield hashed, whole


@keras.saving.register_keras_serializable("attnzoo")
class NGramEmbedding(keras.layers.Layer):
    """The sum of the vectors of the n-grams that begin at each position, n from 2 to `longest`.

        y_t = sum over n of E[hash(x_t ... x_{t+n-1}) mod buckets]

    N-grams share a table through a hash, so that none has to be counted; those with the same hash share a
    vector. The vectors begin as zeros: an n-gram that training has not seen adds nothing, unless it shares
    its vector. An n-gram that runs into padding is none.

    Args:
        longest: most tokens of an n-gram, 2 or more.
        buckets: rows of the table, 1 or more.
        units: width of a vector, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        ids: <int>[batch, time]; 0 is padding.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: an argument out of range.

    Reference: Joulin et al. 2016, https://arxiv.org/abs/1607.01759
    """

    def __init__(self, longest: int, buckets: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = check_positive("longest", longest, least=2)
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
        for hashed, whole in itertools.islice(hashes(ids, self.longest), 1, None):
            rows = tf.cast(hashed % self.buckets, tf.int32)
            vectors = tf.cast(tf.gather(self.embeddings, rows), self.compute_dtype)  # [batch, time, units]
            vectors = tf.where(whole[..., None], vectors, tf.zeros([], vectors.dtype))
            total = vectors if total is None else total + vectors
        return total

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"longest": self.longest, "buckets": self.buckets, "units": self.units}
        return {**super().get_config(), **config}
