"""Logits from the n-grams that a text has, weighed by how much more often one label has them than others."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.layers.adapted import AdaptedLayer, Batches
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.ngrams import hashes

MIN_TEXTS = 2
"""An n-gram of fewer training texts says nothing of a label."""


@keras.saving.register_keras_serializable("attnzoo")
class NaiveBayesNGrams(AdaptedLayer):
    """A linear classifier of the set of n-grams of a text, each scaled by its log-count ratio.

        y_c = sum over the n-grams g of the text of r_gc w_gc
        r_gc = log of p(g | c) / p(g | not c)      p(g | c) = (1 + texts of c with g) / sum_g (1 + ...)

    The ratios r are counted once, by `adapt`, and stay; the weights w are trained, from 0. N-grams share a
    row through a hash; those of a row whose training texts are fewer than two are left out.

    Args:
        classes: number of labels, 2 or more.
        longest: most tokens of an n-gram, 1 or more.
        buckets: rows of the table, 2 or more.
        dropout: fraction of the n-grams dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        ids: <int>[batch, time]; 0 is padding.
        training: whether dropout is active.

    Returns:
        <float32>[batch, classes].

    Raises:
        ValueError: an argument out of range.

    Reference: Wang & Manning 2012 (NB-SVM), https://aclanthology.org/P12-2018
    """

    def __init__(
        self, classes: int, longest: int = 3, buckets: int = 2**22, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.classes = check_positive("classes", classes, least=2)
        self.longest = check_positive("longest", longest)
        self.buckets = check_positive("buckets", buckets, least=2)
        self.dropout = Dropout(dropout, name="dropout", dtype="float32")

    def build(self, ids_shape=None):
        """Creates ratios and weights."""
        shape = (self.buckets, self.classes)
        options = {"initializer": "zeros", "dtype": "float32", "autocast": False}
        self.ratios = self.add_weight(shape=shape, name="ratios", trainable=False, **options)
        self.factors = self.add_weight(shape=shape, name="factors", **options)
        self.dropout.build((None, None))
        self.built = True

    def adapt(self, batches: Batches) -> None:
        """Counts the ratios.

        Args:
            batches: inputs `text` <int32>[batch, time], and targets `labels`, <int>[batch] or, for any number
                of labels a text, <float>[batch, classes] of 0 and 1.
        """
        having = np.zeros([self.buckets, self.classes], np.float32)
        total = np.zeros([self.buckets, 1], np.float32)
        for inputs, targets in batches:
            labels = targets["labels"]
            rows, first = (tensor.numpy() for tensor in self._rows(tf.constant(inputs["text"])))
            text, _ = np.nonzero(first)
            rows = rows[first]
            labels = np.asarray(labels)
            of_text = np.eye(self.classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels
            for number in range(self.classes):
                np.add.at(having[:, number], rows, of_text[text, number])
            np.add.at(total[:, 0], rows, 1.0)
        often = total >= MIN_TEXTS
        inside, outside = (1.0 + having) * often, (1.0 + total - having) * often
        inside, outside = (counts / np.maximum(counts.sum(axis=0), 1.0) for counts in (inside, outside))
        ratios = np.zeros_like(having)
        np.log(inside / np.where(often, outside, 1.0), out=ratios, where=np.broadcast_to(often, ratios.shape))
        self.ratios.assign(ratios)

    def _rows(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the rows of a text's n-grams, sorted, and where each is for the first time.

        Both are of the shape [batch, time * longest], <int32> and <bool>; row 0 is none.
        """
        found = [
            tf.where(whole, 1 + hashed % (self.buckets - 1), 0) for hashed, whole in hashes(ids, self.longest)
        ]
        rows = tf.sort(tf.cast(tf.concat(found, axis=1), tf.int32), axis=1)
        before = tf.pad(rows, [[0, 0], [1, 0]])[:, :-1]
        return rows, rows != before

    def call(self, ids, training=None):
        """Sums over the n-grams."""
        rows, first = self._rows(ids)
        kept = self.dropout(tf.cast(first, tf.float32), training=training)  # [batch, n-grams]
        weights = tf.gather(self.ratios.value, rows) * tf.gather(self.factors.value, rows)
        return tf.reduce_sum(weights * kept[..., None], axis=1)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"classes": self.classes, "longest": self.longest, "buckets": self.buckets}
        return {**super().get_config(), **config, "dropout": self.dropout.rate}
