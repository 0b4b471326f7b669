"""The objects of a batch, and what each candidate of a detector is to predict of them."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from attnzoo import box_geometry

CROWD_FRACTION = 0.5
"""A candidate is neither right nor wrong if at least this fraction of its box is inside a crowd."""
MIN_QUALITY = 1e-3
"""Smallest target score of the best candidate of an object: its class is known before any box overlaps it."""


class ObjectBatch(NamedTuple):
    """The annotated objects of a batch, padded to the same number for every image.

    Attributes:
        boxes: <float32>[batch, slots, 4] in fractions of the canvas.
        classes: <int32>[batch, slots]; 0 where there is no object.
        valid: <bool>[batch, slots], whether there is an object.
        crowd: <bool>[batch, slots], whether there is a crowd: neither learned nor background.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    valid: tf.Tensor
    crowd: tf.Tensor


class Matches(NamedTuple):
    """What each candidate of a detector is to predict, without gradients.

    Attributes:
        scores: <float32>[batch, candidates, classes], 0 to 1; above 0 for the class of the matched object
            alone, all 0 for background.
        boxes: <float32>[batch, candidates, 4] of the matched objects; 0 for background.
        weights: <float32>[batch, candidates], weights of the box loss, 0 to 1; 0 for background.
        ignored: <bool>[batch, candidates], whether a candidate has no class loss.
    """

    scores: tf.Tensor
    boxes: tf.Tensor
    weights: tf.Tensor
    ignored: tf.Tensor


def unpack_objects(packed: tf.Tensor) -> ObjectBatch:
    """Returns the objects of a batch of the feature `boxes`.

    Args:
        packed: <float32>[batch, slots, 6]: a box in fractions of the canvas, the class, and the kind: 1 for
            an object, 0 for nothing, -1 for a crowd. Boxes without area count as nothing.

    Examples:
        >>> objects = unpack_objects(tf.constant([[[0.0, 0.0, 0.5, 0.5, 2.0, 1.0], [0.0] * 6]]))
        >>> objects.classes.numpy().tolist(), objects.valid.numpy().tolist()
        ([[2, 0]], [[True, False]])
    """
    boxes, kinds = packed[..., :4], packed[..., 5]
    has_area = box_geometry.area(boxes) > 0.0
    valid = (kinds > 0.5) & has_area
    classes = tf.where(valid, tf.cast(tf.round(packed[..., 4]), tf.int32), 0)
    return ObjectBatch(boxes, classes, valid, (kinds < -0.5) & has_area)


def in_crowds(boxes: tf.Tensor, objects: ObjectBatch) -> tf.Tensor:
    """Returns whether boxes <float>[batch, candidates, 4] are in a crowd, <bool>[batch, candidates]."""
    # As detections, which end at the border.
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    fractions = box_geometry.covered_fraction(boxes, objects.boxes)  # [batch, candidates, slots]
    return tf.reduce_any((fractions >= CROWD_FRACTION) & objects.crowd[:, None], axis=-1)
