"""Stages of convolutions, and attention over what they make."""

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
"""Groups of channels of a group normalization; fewer where they would not divide the channels."""


def normalization(norm: Norm, channels: int, **kwargs: Any) -> keras.layers.Layer:
    """Returns the layer that normalizes a feature map with so many channels.

    Args:
        norm: "batch" over the batch (Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167), "group" within
            each image (Wu & He 2018, https://arxiv.org/abs/1803.08494), or "none".
        channels: of the map.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: an unknown `norm`.
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
    """3 x 3 convolutions that keep the size of the map, then 2 x 2 max pooling that halves it.

    Each convolution is followed by normalization, if asked for, and relu. A map with a side below 2 is not
    pooled.

    Args:
        widths: channels of each convolution, one or more.
        norm: which normalization, see `normalization`.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, channels].
        training: whether batch statistics are used and recorded.

    Returns:
        <float>[batch, height / 2, width / 2, widths[-1]], rounded down.

    Raises:
        ValueError: no width, or one below 1; an unknown `norm`.
    """

    def __init__(self, widths: Sequence[int], norm: Norm = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not widths:
            raise ValueError(f"`widths` needs one convolution at least. Received: widths={list(widths)}")
        self.widths = [check_positive("widths", width) for width in widths]
        self.norm = norm
        self.convolutions = [
            # Normalization takes the mean out, and a bias with it.
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
    """Self attention over the positions of a feature map, row by row; a `Gate` sees the map as it is.

    `multi_head` with relative positions is a `GridAttention`: it knows the distance along both axes.

    Args:
        units: channels of the map.
        attention: options of the attention, or its name.
        residual: whether the map is added to the attention's output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, units].
        training: whether dropout is active.
        return_attention_scores: also return the attention's scores.

    Returns:
        <float>[batch, height, width, units]; with `return_attention_scores` also the scores of the attention,
        by default <float32>[batch, heads, height * width, height * width].

    Raises:
        ValueError: a map with other than `units` channels, or `units` that do not suit the attention;
            relative positions of a map whose sides are not known.
        pydantic.ValidationError: unknown attention or option.
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
        if not self._options.needs_sides:
            self.attention = mechanisms.build(self._options, units, name="attention", dtype=self.dtype_policy)

    @property
    def weighs_positions(self) -> bool:
        """Whether the attention's scores are of positions, and not of channels."""
        return self._options.needs_sides or self.attention.weighs_positions

    def build(self, inputs_shape):
        """Builds the attention."""
        batch, height, width, channels = inputs_shape
        if self._options.needs_sides:
            if height is None or width is None:
                raise ValueError(
                    "Relative positions of a map need its sides. "
                    f"Received: inputs_shape={tuple(inputs_shape)}"
                )
            options = self._options.model_dump(exclude={"name", "position"})
            self.attention = GridAttention(
                self.units, height, width, name="attention", dtype=self.dtype_policy, **options
            )
        positions = None if height is None or width is None else height * width
        self.attention.build(inputs_shape if self._takes_maps else (batch, positions, channels))
        self.built = True

    def call(self, inputs, *, training=None, return_attention_scores=False):
        """Flattens the map unless the attention takes it as it is, attends, and restores it."""
        batch, height, width, units = keras.ops.shape(inputs)
        flat = inputs if self._takes_maps else keras.ops.reshape(inputs, [batch, height * width, units])
        outputs = self.attention(flat, training=training, return_attention_scores=return_attention_scores)
        outputs, scores = outputs if return_attention_scores else (outputs, None)
        outputs = keras.ops.reshape(outputs, [batch, height, width, units])
        if self.residual:
            outputs += inputs
        return (outputs, scores) if return_attention_scores else outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        options = self._options.model_dump()
        config = {"units": self.units, "attention": options, "residual": self.residual}
        return {**super().get_config(), **config}
