"""Heads of detectors: from features to candidates, and what each candidate is to predict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.layers.convolution import normalization
from attnzoo.layers.matches import Matches, ObjectBatch
from attnzoo.layers.task_aligned_assignment import assign_objects

FIRST_PROBABILITY = 0.01
"""Probability of every class at first: most candidates are background, whose loss would rule otherwise."""
MAX_LOG_DISTANCE = 6.0
"""Largest logarithm of the distance from a center to a side, in cells, so that it never overflows."""

Outputs = Mapping[str, tf.Tensor]
"""`boxes` <float32>[batch, candidates, 4] in fractions of the canvas: left, top, right, bottom; and `logits`
<float32>[batch, candidates, classes]."""


class DetectionHead(keras.layers.Layer):
    """Base class of the last layer of detectors.

    Attributes:
        needs_suppression: whether several candidates predict one object, so that all but one are dropped.
        distance_weight: default weight of the distance of boxes in the loss, 0 or more.
        num_layers: how many times the objects are predicted in training, auxiliary losses included.
    """

    needs_suppression: ClassVar[bool]
    distance_weight: ClassVar[float] = 0.0
    num_layers: int = 1

    def match(self, outputs: Outputs, objects: ObjectBatch) -> Matches:
        """Returns what each candidate is to predict, without gradients."""
        raise NotImplementedError

    def all_outputs(self, outputs: Outputs) -> Outputs:
        """Returns the outputs that are trained, as of `num_layers` times the batch."""
        return outputs


def class_bias() -> keras.initializers.Initializer:
    """Returns the initial bias of class logits."""
    return keras.initializers.Constant(-math.log((1.0 - FIRST_PROBABILITY) / FIRST_PROBABILITY))


@keras.saving.register_keras_serializable("attnzoo")
class AnchorFreeHead(DetectionHead):
    """One candidate at each position of each level: class logits, and distances to the sides of a box.

        sides = center -+ e^(s_i d) cell        with the position's center and d = (left, top, right, bottom)

    The convolutions are shared by all levels; the scale s_i is trained for each level.

    Args:
        num_classes: number of classes, 1 or more.
        canvas: height and width of the image in pixels.
        strides: pixels from one position to the next, for each level.
        units: number of channels of the two towers of convolutions, 1 or more.
        depth: number of 3 x 3 convolutions of each tower, 0 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: list of <float>[batch, height, width, channels], one for each level, all as wide.

    Returns:
        `boxes` and `logits` of the candidates, level by level, each row by row; see `Outputs`.

    Raises:
        ValueError: an argument is out of range; not one map for each stride.

    Reference: Tian et al. 2019, https://arxiv.org/abs/1904.01355

    Examples:
        >>> head = AnchorFreeHead(num_classes=3, canvas=(64, 48), strides=[8, 16])
        >>> outputs = head([keras.random.normal([2, 8, 6, 16]), keras.random.normal([2, 4, 3, 16])])
        >>> outputs["boxes"].shape, outputs["logits"].shape
        (TensorShape([2, 60, 4]), TensorShape([2, 60, 3]))
    """

    needs_suppression = True

    def __init__(
        self,
        num_classes: int,
        canvas: Sequence[int],
        strides: Sequence[int],
        units: int = 64,
        depth: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_positive("num_classes", num_classes)
        self.canvas = [check_positive("canvas", side) for side in canvas]
        self.strides = [check_positive("strides", stride) for stride in strides]
        self.units = check_positive("units", units)
        self.depth = check_positive("depth", depth, minimum=0)

    def build(self, inputs_shape):
        """Builds the towers and the centers of all positions."""
        if len(inputs_shape) != len(self.strides):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs one map for each stride. "
                f"Received: {len(inputs_shape)} maps, strides={self.strides}"
            )
        channels = inputs_shape[0][-1]
        self.towers = {name: self._build_tower(name, channels) for name in ("class", "box")}
        widths = (None, None, None, self.units if self.depth else channels)
        # Sides and scores need more digits than half precision has.
        self.class_logits = keras.layers.Conv2D(
            self.num_classes,
            3,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=class_bias(),
            name="class_logits",
            dtype="float32",
        )
        self.log_distances = keras.layers.Conv2D(
            4,
            3,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="log_distances",
            dtype="float32",
        )
        self.class_logits.build(widths)
        self.log_distances.build(widths)
        self.scales = self.add_weight(
            shape=(len(self.strides),), initializer="ones", name="scales", autocast=False
        )
        self._sides = [tuple(shape[1:3]) for shape in inputs_shape]
        self.built = True

    def _build_tower(self, name: str, channels: int) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
        tower = []
        for index in range(self.depth):
            convolution = keras.layers.Conv2D(
                self.units,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=f"{name}_conv_{index}",
                dtype=self.dtype_policy,
            )
            norm = normalization("group", self.units, name=f"{name}_norm_{index}", dtype=self.dtype_policy)
            convolution.build((None, None, None, channels if index == 0 else self.units))
            norm.build((None, None, None, self.units))
            tower.append((convolution, norm))
        return tower

    @property
    def centers(self) -> np.ndarray:
        """Center <float32>[candidates, 2], x and y, of each position, in fractions of the canvas."""
        height, width = self.canvas
        levels = []
        for (rows, columns), stride in zip(self._sides, self.strides, strict=True):
            x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
            levels.append(np.stack([x * stride / width, y * stride / height], axis=-1).reshape(-1, 2))
        return np.concatenate(levels).astype(np.float32)

    def cell(self, stride: int) -> np.ndarray:
        """Returns width and height <float32>[2] of a position's cell, in fractions of the canvas."""
        height, width = self.canvas
        return np.array([stride / width, stride / height], np.float32)

    def call(self, inputs):
        """Predicts the candidates."""
        logits, boxes, first = [], [], 0
        centers = self.centers
        for level, (maps, stride) in enumerate(zip(inputs, self.strides, strict=True)):
            count = math.prod(self._sides[level])
            hidden = {name: _apply(tower, maps) for name, tower in self.towers.items()}
            logits.append(
                keras.ops.reshape(self.class_logits(hidden["class"]), [-1, count, self.num_classes])
            )
            raw = keras.ops.reshape(self.log_distances(hidden["box"]), [-1, count, 4])
            distances = keras.ops.exp(keras.ops.minimum(raw * self.scales[level], MAX_LOG_DISTANCE))
            distances *= np.tile(self.cell(stride), 2)
            middle = centers[first : first + count]
            boxes.append(
                keras.ops.concatenate([middle - distances[..., :2], middle + distances[..., 2:]], axis=-1)
            )
            first += count
        return {
            "boxes": keras.ops.concatenate(boxes, axis=1),  # [batch, candidates, 4]
            "logits": keras.ops.concatenate(logits, axis=1),  # [batch, candidates, classes]
        }

    def match(self, outputs, objects):
        """Assigns objects by how well candidates predict them, see `assign_objects`."""
        cell = tf.constant(self.cell(min(self.strides)))
        return assign_objects(outputs["boxes"], outputs["logits"], tf.constant(self.centers), cell, objects)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "canvas": self.canvas,
            "strides": self.strides,
            "units": self.units,
            "depth": self.depth,
        }


def _apply(tower: list[tuple[keras.layers.Layer, keras.layers.Layer]], maps):
    for convolution, norm in tower:
        maps = keras.ops.relu(norm(convolution(maps)))
    return maps
