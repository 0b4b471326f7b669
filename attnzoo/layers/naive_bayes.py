"""Logits from the n-grams of a text, scaled by naive Bayes log-count ratios (NB-SVM)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.layers.adapted import AdaptedLayer, Batches
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.ngrams import ngram_hashes

MIN_TEXTS = 2
"""N-grams that occur in fewer training texts are ignored."""


@keras.saving.register_keras_serializable("attnzoo")
class NaiveBayesNGrams(AdaptedLayer):
    """Linear classifier of the set of n-grams of a text, each scaled by its log-count ratio.

        y_c = sum over the n-grams g of the text of r_gc w_gc
        r_gc = log of p(g | c) / p(g | not c)      p(g | c) = (1 + texts of c with g) / sum_g (1 + ...)

    The ratios r are computed once by `adapt` and not trained; the weights w are trained, starting at 0.
    N-grams are hashed to rows of a table; rows that occur in fewer than two training texts are ignored.

    Args:
        classes: number of classes, 2 or more.
        max_n: maximum length of an n-gram in tokens, 1 or more.
        buckets: number of rows of the table, 2 or more.
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

    Examples:
        >>> layer = NaiveBayesNGrams(classes=2, max_n=1, buckets=100)
        >>> layer(tf.constant([[5, 6, 0]])).shape
        TensorShape([1, 2])
        >>> texts, labels = tf.constant([[5], [5], [6], [6]]), tf.constant([0, 0, 1, 1])
        >>> layer.adapt([({"text": texts}, {"labels": labels})])
    """

    def __init__(
        self, classes: int, max_n: int = 3, buckets: int = 2**22, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.classes = check_positive("classes", classes, minimum=2)
        self.max_n = check_positive("max_n", max_n)
        self.buckets = check_positive("buckets", buckets, minimum=2)
        self.dropout = Dropout(dropout, name="dropout", dtype="float32")

    def build(self, ids_shape=None):
        """Creates the variables."""
        shape = (self.buckets, self.classes)
        options = {"initializer": "zeros", "dtype": "float32", "autocast": False}
        self.ratios = self.add_weight(shape=shape, name="ratios", trainable=False, **options)
        self.factors = self.add_weight(shape=shape, name="factors", **options)
        self.dropout.build((None, None))
        self.built = True

    def adapt(self, batches: Batches) -> None:
        """Computes the log-count ratios.

        Args:
            batches: inputs `text` <int32>[batch, time], and targets `labels`: <int>[batch] or, for multiple
                labels per text, <float>[batch, classes] of 0 and 1.
        """
        label_counts = np.zeros([self.buckets, self.classes], np.float32)
        text_counts = np.zeros([self.buckets, 1], np.float32)
        for inputs, targets in batches:
            labels = targets["labels"]
            rows, first = (tensor.numpy() for tensor in self._rows(tf.constant(inputs["text"])))
            text, _ = np.nonzero(first)
            rows = rows[first]
            labels = np.asarray(labels)
            text_labels = np.eye(self.classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels
            for number in range(self.classes):
                np.add.at(label_counts[:, number], rows, text_labels[text, number])
            np.add.at(text_counts[:, 0], rows, 1.0)
        frequent = text_counts >= MIN_TEXTS
        inside, outside = (1.0 + label_counts) * frequent, (1.0 + text_counts - label_counts) * frequent
        inside, outside = (counts / np.maximum(counts.sum(axis=0), 1.0) for counts in (inside, outside))
        ratios = np.zeros_like(label_counts)
        np.log(
            inside / np.where(frequent, outside, 1.0),
            out=ratios,
            where=np.broadcast_to(frequent, ratios.shape),
        )
        self.ratios.assign(ratios)

    def _rows(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the sorted rows of the n-grams of a text, and where each occurs for the first time.

        Both have shape [batch, time * max_n], <int32> and <bool>; row 0 means no n-gram.
        """
        row_lists = [
            tf.where(valid, 1 + hashed % (self.buckets - 1), 0)
            for hashed, valid in ngram_hashes(ids, self.max_n)
        ]
        rows = tf.sort(tf.cast(tf.concat(row_lists, axis=1), tf.int32), axis=1)
        previous = tf.pad(rows, [[0, 0], [1, 0]])[:, :-1]
        return rows, rows != previous

    def call(self, ids, training=None):
        """Sums over the n-grams."""
        rows, first = self._rows(ids)
        kept = self.dropout(tf.cast(first, tf.float32), training=training)  # [batch, n-grams]
        weights = tf.gather(self.ratios.value, rows) * tf.gather(self.factors.value, rows)
        return tf.reduce_sum(weights * kept[..., None], axis=1)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"classes": self.classes, "max_n": self.max_n, "buckets": self.buckets}
        return {**super().get_config(), **config, "dropout": self.dropout.rate}
