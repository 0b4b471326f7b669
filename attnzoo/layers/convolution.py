"""Convolutional stages, and attention over feature maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras

from attnzoo.attention import mechanisms
from attnzoo.attention.base import ScoredLayer, check_positive
from attnzoo.attention.grid import GridAttention
from attnzoo.attention.options import GateOptions
from attnzoo.layers.batch_normalization import MapNormalization

Norm = Literal["batch", "group", "none"]
MAX_GROUPS = 8
"""Maximum number of groups of a group normalization, which must divide the number of channels."""


def normalization(norm: Norm, channels: int, **kwargs: Any) -> keras.layers.Layer:
    """Returns a layer that normalizes feature maps.

    Args:
        norm: "batch" over the batch (Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167), "group" within
            each image (Wu & He 2018, https://arxiv.org/abs/1803.08494), or "none".
        channels: number of channels, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: an unknown `norm`.

    Examples:
        >>> normalization("group", channels=12).groups
        4
    """
    if norm == "batch":
        return MapNormalization(momentum=0.9, **kwargs)
    if norm == "group":
        return keras.layers.GroupNormalization(math.gcd(MAX_GROUPS, channels), **kwargs)
    if norm == "none":
        return keras.layers.Identity(**kwargs)
    raise ValueError(f"`norm` must be one of {', '.join(get_args(Norm))}. Received: norm={norm!r}")


@keras.saving.register_keras_serializable("attnzoo")
class ConvStage(keras.layers.Layer):
    """3 x 3 convolutions with "same" padding, then 2 x 2 max pooling.

    Each convolution is followed by normalization, if any, and relu. Maps with a side below 2 are not pooled.

    Args:
        widths: number of channels of each convolution, at least one.
        norm: normalization, see `normalization`.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, channels].
        training: whether batch normalization uses the statistics of the batch and updates its averages.

    Returns:
        <float>[batch, height / 2, width / 2, widths[-1]], rounded down.

    Raises:
        ValueError: `widths` is empty or has a value below 1; an unknown `norm`.

    Examples:
        >>> ConvStage([8, 16])(keras.random.normal([2, 28, 28, 1])).shape
        TensorShape([2, 14, 14, 16])
    """

    def __init__(self, widths: Sequence[int], norm: Norm = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not widths:
            raise ValueError(f"`widths` must not be empty. Received: widths={list(widths)}")
        self.widths = [check_positive("widths", width) for width in widths]
        self.norm = norm
        self.convolutions = [
            # Normalization removes the mean, and with it any bias.
            keras.layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=norm == "none",
                name=f"conv_{index}",
                dtype=self.dtype_policy,
            )
            for index, width in enumerate(self.widths)
        ]
        self.norms = [
            normalization(norm, width, name=f"norm_{index}", dtype=self.dtype_policy)
            for index, width in enumerate(self.widths)
        ]

    def build(self, inputs_shape):
        """Builds the sublayers."""
        shape = tuple(inputs_shape)
        for index, convolution in enumerate(self.convolutions):
            convolution.build(shape)
            shape = (*shape[:-1], self.widths[index])
            self.norms[index].build(shape)
        self.built = True

    def call(self, inputs, training=None):
        """Applies the convolutions and the pooling."""
        outputs = inputs
        for index, convolution in enumerate(self.convolutions):
            outputs = keras.ops.relu(self.norms[index](convolution(outputs), training=training))
        if any(side is not None and side < 2 for side in outputs.shape[1:3]):
            return outputs
        return keras.ops.max_pool(outputs, pool_size=2, strides=2)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": self.widths, "norm": self.norm}


@keras.saving.register_keras_serializable("attnzoo")
class FeatureMapAttention(ScoredLayer):
    """Self-attention over the positions of a feature map, flattened in row-major order.

    A `Gate` takes the map without flattening it. `multi_head` with relative positions becomes a
    `GridAttention`, which uses the distance along both axes.

    Args:
        units: number of channels of the map, 1 or more.
        attention: options of the attention mechanism, or its name.
        residual: whether the map is added to the output of the attention.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, units].
        training: whether dropout is active.
        return_attention_scores: also return the attention weights.

    Returns:
        <float>[batch, height, width, units]; with `return_attention_scores` also the attention weights, by
        default <float32>[batch, heads, height * width, height * width].

    Raises:
        ValueError: the map does not have `units` channels, `units` does not fit the attention, or relative
            positions need a static height and width.
        pydantic.ValidationError: unknown mechanism or option.

    Examples:
        >>> layer = FeatureMapAttention(16, {"name": "multi_head", "num_heads": 2, "position": "relative"})
        >>> maps = keras.random.normal([2, 5, 7, 16])
        >>> outputs, weights = layer(maps, return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 7, 16]), TensorShape([2, 2, 35, 35]))
    """

    def __init__(
        self,
        units: int,
        attention: mechanisms.Options = "multi_head",
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.residual = residual
        self._options = mechanisms.parse(attention)
        self._takes_maps = isinstance(self._options, GateOptions)
        if not self._options.needs_map_size:
            self.attention = mechanisms.build(self._options, units, name="attention", dtype=self.dtype_policy)

    @property
    def weighs_positions(self) -> bool:
        """Whether the attention weights are of positions, not of channels."""
        return self._options.needs_map_size or self.attention.weighs_positions

    def build(self, inputs_shape):
        """Builds the attention."""
        batch, height, width, channels = inputs_shape
        if self._options.needs_map_size:
            if height is None or width is None:
                raise ValueError(
                    "Relative positions need a static height and width of the feature map. "
                    f"Received: inputs_shape={tuple(inputs_shape)}"
                )
            options = self._options.model_dump(exclude={"name", "position"})
            self.attention = GridAttention(
                self.units, height, width, name="attention", dtype=self.dtype_policy, **options
            )
        positions = None if height is None or width is None else height * width
        self.attention.build(inputs_shape if self._takes_maps else (batch, positions, channels))
        self.built = True

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the output, without that of `return_attention_scores`."""
        return tuple(inputs_shape)

    def call(self, inputs, *, training=None, return_attention_scores=False):
        """Flattens the map unless the attention is a gate, attends, and restores the shape."""
        batch, height, width, units = keras.ops.shape(inputs)
        flat = inputs if self._takes_maps else keras.ops.reshape(inputs, [batch, height * width, units])
        outputs = self.attention(flat, training=training, return_attention_scores=return_attention_scores)
        outputs, attention_weights = outputs if return_attention_scores else (outputs, None)
        outputs = keras.ops.reshape(outputs, [batch, height, width, units])
        if self.residual:
            outputs += inputs
        return (outputs, attention_weights) if return_attention_scores else outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        options = self._options.model_dump()
        config = {"units": self.units, "attention": options, "residual": self.residual}
        return {**super().get_config(), **config}
