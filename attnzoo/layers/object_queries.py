"""Queries for objects, which look at feature maps and refine a box each."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo import box_geometry
from attnzoo.attention import mechanisms
from attnzoo.attention.base import ScoredLayer, check_positive
from attnzoo.attention.mechanisms import Options
from attnzoo.layers.connection import Connection, FeedForward
from attnzoo.layers.normalization import LayerNormalization

POOLED = 3
"""Rows and columns of points at which a box is sampled."""
FIRST_SIDE = 0.25
"""Width and height of the boxes before training, as a fraction of the canvas."""
MAX_FREQUENCY = 32.0
"""Half waves that the fastest sine of an encoding has on the canvas."""
EPSILON = 1e-4
"""Keeps the logit of a fraction finite."""


def encode_fractions(fractions: tf.Tensor, dim: int) -> tf.Tensor:
    """Encodes numbers of 0 to 1 by sines and cosines of 1 to `MAX_FREQUENCY` half waves.

    Args:
        fractions: <float>[..., numbers].
        dim: values for each number, an even number of at least 4.

    Returns:
        <float>[..., numbers * dim].
    """
    frequencies = math.pi * MAX_FREQUENCY ** np.linspace(0.0, 1.0, dim // 2)
    angles = fractions[..., None] * tf.cast(frequencies, fractions.dtype)
    waves = tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)  # [..., numbers, dim]
    return tf.reshape(waves, [*tf.unstack(tf.shape(fractions)[:-1]), fractions.shape[-1] * dim])


def logit(fractions: tf.Tensor) -> tf.Tensor:
    """Returns log(x / (1 - x)) of fractions 0 to 1, finite."""
    fractions = tf.clip_by_value(fractions, EPSILON, 1.0 - EPSILON)
    return tf.math.log(fractions / (1.0 - fractions))


def sample_boxes(maps: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Samples a map at `POOLED` x `POOLED` points of each box, by linear interpolation.

    Args:
        maps: <float>[batch, height, width, channels].
        boxes: <float32>[batch, boxes, 4] in fractions of the canvas.

    Returns:
        <float>[batch, boxes, POOLED^2 * channels], zeros outside the map. Boxes get no gradient.

    Reference: RoIAlign, He et al. 2017, https://arxiv.org/abs/1703.06870

    Examples:
        >>> columns = tf.reshape(tf.range(4.0), [1, 1, 4, 1])
        >>> sample_boxes(columns, tf.constant([[[0.25, 0.0, 1.0, 1.0]]]))[0, 0, :3].numpy().tolist()
        [1.0, 2.0, 3.0]
    """
    rows, columns, channels = maps.shape[1:]
    fractions = (tf.range(POOLED, dtype=tf.float32) + 0.5) / POOLED
    left, top, right, bottom = tf.split(tf.stop_gradient(boxes), 4, axis=-1)  # [batch, boxes, 1]
    # Products in place of a gather: their gradient adds up in one order on every device.
    row_weights = _tent_weights((top + (bottom - top) * fractions) * rows, rows, maps.dtype)
    column_weights = _tent_weights((left + (right - left) * fractions) * columns, columns, maps.dtype)
    sampled = tf.einsum("bnrh,bhwc->bnrwc", row_weights, maps)
    sampled = tf.einsum("bnkw,bnrwc->bnrkc", column_weights, sampled)
    return tf.reshape(sampled, [tf.shape(boxes)[0], boxes.shape[1], POOLED**2 * channels])


def _tent_weights(places: tf.Tensor, size: int, dtype: tf.DType) -> tf.Tensor:
    """Returns what each cell counts, <float>[batch, boxes, points, size], at places between cells."""
    inside = tf.clip_by_value(places - 0.5, 0.0, size - 1.0)
    distances = tf.abs(inside[..., None] - tf.range(size, dtype=tf.float32))
    return tf.cast(tf.maximum(0.0, 1.0 - distances), dtype)


@keras.saving.register_keras_serializable("attnzoo")
class ObjectQueries(keras.layers.Layer):
    """Trained boxes that queries begin with, at first on a grid.

    Args:
        num_queries: number of queries, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, ...], which gives the number of images.

    Returns:
        <float32>[batch, num_queries, 4]: x and y of the center, width, height, in fractions of the canvas.

    Raises:
        ValueError: `num_queries` below 1.

    Reference: Liu et al. 2022, https://arxiv.org/abs/2201.12329

    Examples:
        >>> ObjectQueries(num_queries=4)(tf.zeros([2, 1])).numpy()[0, :, :2].round(2).tolist()
        [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """

    def __init__(self, num_queries: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_queries = check_positive("num_queries", num_queries)

    def build(self, inputs_shape):
        """Creates the boxes."""
        columns = math.ceil(math.sqrt(self.num_queries))
        rows = math.ceil(self.num_queries / columns)
        numbers = np.arange(self.num_queries)
        boxes = np.full([self.num_queries, 4], FIRST_SIDE, np.float32)
        boxes[:, 0] = (numbers % columns + 0.5) / columns
        boxes[:, 1] = (numbers // columns + 0.5) / rows
        self.boxes = self.add_weight(
            shape=boxes.shape,
            initializer=lambda shape, dtype=None: logit(tf.constant(boxes)),
            name="boxes",
            autocast=False,
            dtype="float32",
        )
        self.built = True

    def call(self, inputs):
        """Returns the boxes, the same for every image."""
        boxes = tf.sigmoid(self.boxes)[None]
        return tf.repeat(boxes, tf.shape(inputs)[0], axis=0)

    def compute_output_spec(self, inputs):
        """Describes the boxes."""
        return keras.KerasTensor((inputs.shape[0], self.num_queries, 4), "float32")

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_queries": self.num_queries}


@keras.saving.register_keras_serializable("attnzoo")
class QueryBlock(ScoredLayer):
    """Decoder block of queries for objects: they look at their box, at each other, and at the whole map.

        h_0 = h + W samples(box)        h_1 = h_0 + self-attention        h_2 = h_1 + cross-attention
        h_3 = h_2 + feed-forward        box' = sigmoid(logit(box) + refine(h_3))

    with layer normalization before each sublayer. An encoding of its box is added to each query, and one of
    its place to each key.

    Args:
        units: width of the queries, a multiple of 4.
        attention: options of the self-attention, or its name; the cross-attention has the same without
            position encoding.
        feed_forward_units: hidden width of the feed-forward network, 1 or more.
        dropout: fraction of the outputs of each sublayer dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        boxes: <float32>[batch, queries, 4]: x and y of the center, width, height, in fractions of the canvas.
        hidden: <float>[batch, queries, units]; None before the first block.
        maps: <float>[batch, height, width, units].
        training: whether dropout is active.
        return_attention_scores: also return the weights of the cross-attention.

    Returns:
        Boxes and queries, as those given; with `return_attention_scores` also <float32>[batch, heads,
        queries, height * width].

    Raises:
        ValueError: `units` is not a multiple of 4, or not the number of channels of the map; an attention
            without cross-attention.
        pydantic.ValidationError: unknown attention mechanism or option.

    Reference: Carion et al. 2020, https://arxiv.org/abs/2005.12872; Zhu et al. 2021,
        https://arxiv.org/abs/2010.04159

    Examples:
        >>> boxes, maps = tf.fill([2, 5, 4], 0.5), tf.random.normal([2, 6, 7, 16])
        >>> block = QueryBlock(units=16, feed_forward_units=32)
        >>> (boxes, hidden), weights = block(boxes, maps=maps, return_attention_scores=True)
        >>> boxes.shape, hidden.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 16]), TensorShape([2, 4, 5, 42]))
    """

    def __init__(
        self,
        units: int,
        attention: Options = "multi_head",
        feed_forward_units: int = 256,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})  # boxes need float32
        self.units = check_positive("units", units)
        if units % 4:
            raise ValueError(f"`units` must be a multiple of 4. Received: units={units}")
        self._options = mechanisms.parse(attention)
        policy = self.dtype_policy
        self.attention = mechanisms.build(self._options, units, name="attention", dtype=policy)
        self.cross_attention = mechanisms.build(
            self._options.for_cross_attention(), units, name="cross_attention", dtype=policy
        )
        if not self.cross_attention.supports_cross:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs an attention mechanism that supports "
                f"cross-attention. Received: attention={self._options.model_dump()}"
            )
        self.feed_forward = FeedForward(units, feed_forward_units, dropout, name="feed_forward", dtype=policy)
        self.connections = {
            name: Connection("pre", True, dropout, name=f"{name}_connection", dtype=policy)
            for name in ("attention", "cross", "feed_forward")
        }
        self.box_encoding = keras.layers.Dense(units, name="box_encoding", dtype=policy)
        self.map_encoding = keras.layers.Dense(units, name="map_encoding", dtype=policy)
        self.samples = keras.layers.Dense(units, name="samples", dtype=policy)
        self.refinement = [
            LayerNormalization(epsilon=1e-6, name="refinement_norm", dtype=policy),
            keras.layers.Dense(units, activation="relu", name="refinement_hidden", dtype=policy),
            keras.layers.Dense(4, kernel_initializer="zeros", name="refinement", dtype="float32"),
        ]

    def build(self, boxes_shape, hidden_shape=None, maps_shape=None):
        """Builds the sublayers."""
        batch, queries, _ = boxes_shape
        _, height, width, channels = maps_shape
        if channels != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the map must have {self.units} channels (`units`). "
                f"Received: maps_shape={tuple(maps_shape)}"
            )
        shape = (batch, queries, self.units)
        memory_shape = (batch, height * width, channels)
        self.attention.build(shape)
        self.cross_attention.build(shape, memory_shape)
        self.map_encoding.build((None, self.units))
        self.box_encoding.build((*shape[:-1], 2 * self.units))
        self.samples.build((*shape[:-1], POOLED**2 * channels))
        for layer in (self.feed_forward, *self.connections.values(), *self.refinement):
            layer.build(shape)
        self.built = True

    def call(self, boxes, hidden=None, maps=None, *, training=None, return_attention_scores=False):
        """Applies the block."""
        boxes, maps = tf.cast(boxes, tf.float32), tf.cast(maps, self.compute_dtype)
        corners = box_geometry.from_centers(boxes)
        sampled = self.samples(sample_boxes(maps, corners))
        hidden = sampled if hidden is None else hidden + sampled
        encoding = encode_fractions(boxes, self.units // 2)  # [batch, queries, 2 * units]
        encoding = self.box_encoding(tf.cast(encoding, self.compute_dtype))

        connection = self.connections["attention"]
        query = connection.pre(hidden)
        outputs = self.attention(query + encoding, query, query + encoding, training=training)
        hidden = connection.post(hidden, outputs, training)

        memory, places = self._memory(maps)
        connection = self.connections["cross"]
        outputs = self.cross_attention(
            connection.pre(hidden) + encoding,
            memory,
            memory + places,
            training=training,
            return_attention_scores=return_attention_scores,
        )
        outputs, attention_weights = outputs if return_attention_scores else (outputs, None)
        hidden = connection.post(hidden, outputs, training)

        connection = self.connections["feed_forward"]
        outputs = self.feed_forward(connection.pre(hidden), training=training)
        hidden = connection.post(hidden, outputs, training)
        change = hidden
        for layer in self.refinement:
            change = layer(change)
        # Each block learns to correct the boxes as they come: no gradient to the blocks before.
        boxes = tf.sigmoid(logit(tf.stop_gradient(boxes)) + tf.cast(change, tf.float32))
        return ((boxes, hidden), attention_weights) if return_attention_scores else (boxes, hidden)

    def compute_output_spec(
        self, boxes, hidden=None, maps=None, *, training=None, return_attention_scores=False
    ):
        """Describes the boxes and the queries; a single query would be taken for the batch."""
        if return_attention_scores:
            return super().compute_output_spec(
                boxes, hidden, maps, training=training, return_attention_scores=True
            )
        queries = keras.KerasTensor((*boxes.shape[:2], self.units), self.compute_dtype)
        return keras.KerasTensor(boxes.shape, "float32"), queries

    def _memory(self, maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the positions of the map <float>[batch, positions, channels], and their encoding."""
        _, height, width, channels = maps.shape
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        centers = tf.constant(np.stack([x, y], axis=-1).reshape(-1, 2), tf.float32)
        places = self.map_encoding(tf.cast(encode_fractions(centers, self.units // 2), self.compute_dtype))
        return tf.reshape(maps, [-1, height * width, channels]), places

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "attention": self._options.model_dump(),
            "feed_forward_units": self.feed_forward.hidden_units,
            "dropout": self.feed_forward.dropout.rate,
        }
