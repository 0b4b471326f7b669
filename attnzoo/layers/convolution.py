"""Convolution stages, and attention over what they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from attnzoo import attention as attention_layers
from attnzoo.attention.base import check_positive
from attnzoo.attention.gate import Gate
from attnzoo.attention.options import parse
from attnzoo.config.sections import Section


@keras.saving.register_keras_serializable("attnzoo")
class ConvStage(keras.layers.Layer):
    """3 x 3 convolutions that keep the size of the map, then 2 x 2 max pooling that halves it.

    Each convolution is followed by batch normalisation, if asked for, and relu. A map with a side below 2 is
    not pooled.

    Args:
        widths: channels of each convolution, one or more.
        batch_norm: whether to normalise over the batch.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, channels].
        training: whether batch statistics are used and recorded.

    Returns:
        <float>[batch, height / 2, width / 2, widths[-1]], rounded down.

    Raises:
        ValueError: no width, or one below 1.
    """

    def __init__(self, widths: Sequence[int], batch_norm: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not widths:
            raise ValueError(f"`widths` needs one convolution at least. Received: widths={list(widths)}")
        self.widths = [check_positive("widths", width) for width in widths]
        self.batch_norm = batch_norm
        self.convolutions = [
            # Normalisation takes the mean out, and a bias with it.
            keras.layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=not batch_norm,
                name=f"conv_{index}",
                dtype=self.dtype_policy,
            )
            for index, width in enumerate(self.widths)
        ]
        self.norms = [
            keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{index}", dtype=self.dtype_policy)
            for index in range(len(self.widths) if batch_norm else 0)
        ]

    def build(self, inputs_shape):
        """Builds the sublayers."""
        shape = tuple(inputs_shape)
        for index, convolution in enumerate(self.convolutions):
            convolution.build(shape)
            shape = (*shape[:-1], self.widths[index])
            if self.batch_norm:
                self.norms[index].build(shape)
        self.built = True

    def call(self, inputs, training=None):
        """Applies the convolutions and the pooling."""
        outputs = inputs
        for index, convolution in enumerate(self.convolutions):
            outputs = convolution(outputs)
            if self.batch_norm:
                outputs = self.norms[index](outputs, training=training)
            outputs = keras.ops.relu(outputs)
        if any(side is not None and side < 2 for side in outputs.shape[1:3]):
            return outputs
        return keras.ops.max_pool(outputs, pool_size=2, strides=2)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": self.widths, "batch_norm": self.batch_norm}


@keras.saving.register_keras_serializable("attnzoo")
class FeatureMapAttention(keras.layers.Layer):
    """Self attention over the positions of a feature map, row by row; a `Gate` sees the map as it is.

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
        ValueError: a map with other than `units` channels, or `units` that do not suit the attention.
        pydantic.ValidationError: unknown attention or option.
    """

    def __init__(
        self,
        units: int,
        attention: Section | Mapping[str, Any] | str = "multi_head",
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.residual = residual
        self._options = parse(attention).model_dump()
        self.attention = attention_layers.build(attention, units, name="attention", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Builds the attention."""
        batch, height, width, channels = inputs_shape
        positions = None if height is None or width is None else height * width
        self.attention.build(inputs_shape if self._takes_maps else (batch, positions, channels))
        self.built = True

    @property
    def _takes_maps(self) -> bool:
        return isinstance(self.attention, Gate)

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
        config = {"units": self.units, "attention": self._options, "residual": self.residual}
        return {**super().get_config(), **config}
