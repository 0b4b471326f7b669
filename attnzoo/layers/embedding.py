"""Token embeddings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive


@keras.saving.register_keras_serializable("attnzoo")
class TokenEmbedding(keras.layers.Layer):
    """Token embeddings, whose table also serves as output projection.

    Args:
        vocabulary_size: number of token ids, 1 or more.
        units: width of a vector, 1 or more.
        scale: whether to multiply the vectors by sqrt(units), to the magnitude of sinusoidal positions.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        ids: <int>[batch, time], 0 to vocabulary_size - 1; 0 is padding.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: `vocabulary_size` or `units` below 1.

    Reference: Press and Wolf 2017 (tied embeddings), https://arxiv.org/abs/1608.05859

    Examples:
        >>> layer = TokenEmbedding(vocabulary_size=11, units=8)
        >>> vectors = layer(tf.constant([[3, 5, 0]]))
        >>> vectors.shape, layer.logits(vectors).shape
        (TensorShape([1, 3, 8]), TensorShape([1, 3, 11]))
    """

    def __init__(self, vocabulary_size: int, units: int, scale: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive("vocabulary_size", vocabulary_size)
        self.units = check_positive("units", units)
        self.scale = scale

    def build(self, ids_shape=None):
        """Creates the table."""
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.units),
            initializer=keras.initializers.RandomNormal(stddev=self.units**-0.5),
            name="embeddings",
            # Rows are cast after the lookup: casting the whole table would make its gradient dense.
            autocast=False,
        )
        self.built = True

    def call(self, ids):
        """Looks up the vectors."""
        vectors = tf.cast(tf.gather(self.embeddings, tf.cast(ids, tf.int32)), self.compute_dtype)
        return vectors * tf.cast(self.units**0.5, vectors.dtype) if self.scale else vectors

    def padding_mask(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns <bool> of the shape of `ids`, True at tokens, False at padding."""
        return tf.not_equal(ids, 0)

    def logits(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns the product of each position with the vector of each token id.

        Args:
            hidden: <float>[batch, time, units].

        Returns:
            <float32>[batch, time, vocabulary_size].
        """
        table = tf.cast(self.embeddings, self.compute_dtype)  # [vocabulary, units]
        products = tf.einsum("btu,vu->btv", tf.cast(hidden, self.compute_dtype), table)
        return tf.cast(products, tf.float32)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"vocabulary_size": self.vocabulary_size, "units": self.units, "scale": self.scale}
        return {**super().get_config(), **config}
