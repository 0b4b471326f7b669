"""Feature pyramids: maps of several resolutions that all know what the coarsest sees."""

from __future__ import annotations

from typing import Any

import keras

from attnzoo.attention.base import check_positive
from attnzoo.layers.convolution import normalization


@keras.saving.register_keras_serializable("attnzoo")
class FeaturePyramid(keras.layers.Layer):
    """Adds to each map the next coarser one, from the coarsest down.

        h_i = norm(L_i c_i) + up(h_{i+1})        p_i = norm(C_i relu(h_i))

    with 1 x 1 convolutions L, 3 x 3 convolutions C and group normalization. Levels beyond the coarsest input
    map are made of it by convolutions of stride 2.

    Args:
        units: number of channels of every level, 1 or more.
        num_levels: number of levels; None for one for each input map.
        num_outputs: number of levels that are returned, finest first; None for all.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: list of <float>[batch, height, width, channels], finest first, each with half the height and
            width of the one before.

    Returns:
        List of `num_outputs` <float>[batch, height, width, units], finest first.

    Raises:
        ValueError: an argument below 1; fewer levels than input maps or outputs.

    Reference: Lin et al. 2017, https://arxiv.org/abs/1612.03144

    Examples:
        >>> maps = [keras.random.normal([2, 12, 10, 8]), keras.random.normal([2, 6, 5, 16])]
        >>> [tuple(level.shape) for level in FeaturePyramid(units=24, num_levels=3)(maps)]
        [(2, 12, 10, 24), (2, 6, 5, 24), (2, 3, 3, 24)]
    """

    def __init__(
        self, units: int, num_levels: int | None = None, num_outputs: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.num_levels = None if num_levels is None else check_positive("num_levels", num_levels)
        self.num_outputs = None if num_outputs is None else check_positive("num_outputs", num_outputs)

    def build(self, inputs_shape):
        """Builds the sublayers."""
        count = len(inputs_shape)
        total = self.num_levels or count
        returned = self.num_outputs or total
        if total < max(count, returned):
            raise ValueError(
                f"`num_levels` must be at least the number of input maps, {count}, and of outputs. "
                f"Received: num_levels={total}, num_outputs={returned}"
            )
        self.laterals = [self._convolution(1, 1, f"lateral_{index}") for index in range(total)]
        self.lateral_norms = [self._norm(f"lateral_norm_{index}") for index in range(total)]
        self.outputs = [self._convolution(3, 1, f"output_{index}") for index in range(returned)]
        self.output_norms = [self._norm(f"output_norm_{index}") for index in range(returned)]
        inner = (None, None, None, self.units)
        # The maps beyond the inputs take the place of a lateral convolution.
        self.laterals[count:] = [self._convolution(3, 2, f"coarser_{index}") for index in range(count, total)]
        for index in range(total):
            self.laterals[index].build(inputs_shape[index] if index < count else inner)
        for layer in (*self.lateral_norms, *self.outputs, *self.output_norms):
            layer.build(inner)
        self.built = True

    def _convolution(self, size: int, stride: int, name: str) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            self.units, size, stride, padding="same", use_bias=False, name=name, dtype=self.dtype_policy
        )

    def _norm(self, name: str) -> keras.layers.Layer:
        return normalization("group", self.units, name=name, dtype=self.dtype_policy)

    def call(self, inputs):
        """Builds the levels."""
        hidden = list(inputs)
        for index, (lateral, norm) in enumerate(zip(self.laterals, self.lateral_norms, strict=True)):
            source = hidden[index] if index < len(inputs) else keras.ops.relu(hidden[index - 1])
            hidden[index:] = [norm(lateral(source)), *hidden[index + 1 :]]
        for index in reversed(range(len(hidden) - 1)):
            hidden[index] += _upsample(hidden[index + 1], *hidden[index].shape[1:3])
        return [
            norm(output(keras.ops.relu(one)))
            for one, output, norm in zip(hidden, self.outputs, self.output_norms, strict=False)
        ]

    def compute_output_shape(self, inputs_shape):
        """Returns the shapes of the levels."""
        shapes = [(*shape[:-1], self.units) for shape in inputs_shape]
        for _ in range(len(shapes), self.num_levels or len(shapes)):
            batch, *sides, units = shapes[-1]
            shapes.append((batch, *(None if side is None else -(-side // 2) for side in sides), units))
        return shapes[: self.num_outputs]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "num_levels": self.num_levels,
            "num_outputs": self.num_outputs,
        }


def _upsample(maps, height: int, width: int):
    """Doubles a map and fits it to a size, at most one row and column more or less."""
    maps = keras.ops.repeat(keras.ops.repeat(maps, 2, axis=1), 2, axis=2)
    missing = [max(0, height - maps.shape[1]), max(0, width - maps.shape[2])]
    if any(missing):
        maps = keras.ops.pad(maps, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]], mode="symmetric")
    return maps[:, :height, :width]
