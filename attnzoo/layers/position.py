"""Position encodings that are added to embeddings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive


@keras.saving.register_keras_serializable("attnzoo")
class SinusoidalPosition(keras.layers.Layer):
    """Adds sinusoidal position encodings.

        P[t, 2i] = sin(t / 10000^(2i / units))        P[t, 2i + 1] = cos(t / 10000^(2i / units))

    Call arguments:
        inputs: <float>[batch, time, units].
        offset: position of the first element, integer or <int>[].

    Returns:
        <float>[batch, time, units].

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    Examples:
        >>> SinusoidalPosition()(tf.zeros([1, 2, 2])).numpy().tolist()  # sin 0, cos 0, sin 1, cos 1
        [[[0.0, 1.0], [0.841..., 0.540...]]]
    """

    def build(self, inputs_shape):
        """There are no weights."""
        self.built = True

    def call(self, inputs, offset=0):
        """Adds the encodings."""
        time, units = keras.ops.shape(inputs)[1:]
        # Angles in float32: half precision cannot hold a position above a few hundred.
        positions = tf.cast(tf.range(time) + tf.cast(offset, tf.int32), tf.float32)  # [time]
        exponents = tf.range(0, units, 2, dtype=tf.float32) / units  # [units / 2]
        angles = positions[:, None] * 10000.0**-exponents  # [time, units / 2]
        waves = tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1)  # [time, units / 2, 2]
        waves = keras.ops.reshape(waves, [time, units + units % 2])[:, :units]  # [time, units]
        return inputs + tf.cast(waves, inputs.dtype)


@keras.saving.register_keras_serializable("attnzoo")
class LearnedPosition(keras.layers.Layer):
    """Adds a trained embedding of each position.

    Args:
        max_length: maximum number of positions, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, units].
        offset: position of the first element, integer or <int>[]; offset + time must not exceed `max_length`.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: offset + time, if static, exceeds `max_length`.

    Examples:
        >>> LearnedPosition(max_length=100)(tf.zeros([2, 7, 16])).shape
        TensorShape([2, 7, 16])
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = check_positive("max_length", max_length)

    def build(self, inputs_shape):
        """Creates the embeddings."""
        self.embeddings = self.add_weight(
            shape=(self.max_length, inputs_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embeddings",
            # Rows are cast after the lookup, not the whole table.
            autocast=False,
        )
        self.built = True

    def call(self, inputs, offset=0):
        """Adds the embeddings."""
        time = keras.ops.shape(inputs)[1]
        first = offset if isinstance(offset, int) else 0
        if isinstance(time, int) and first + time > self.max_length:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has {self.max_length} positions (`max_length`). "
                f"Received: inputs.shape={tuple(inputs.shape)}, offset={first}"
            )
        vectors = tf.gather(self.embeddings, tf.range(time) + tf.cast(offset, tf.int32))  # [time, units]
        return inputs + tf.cast(vectors, inputs.dtype)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "max_length": self.max_length}
