"""Geometry of axis-aligned boxes: (left, top, right, bottom) in any unit, as tensors.

A box without area overlaps nothing: its IoU with any box, even itself, is 0, and its gradients are finite.
"""

from __future__ import annotations

import tensorflow as tf


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the areas <float>[...] of boxes <float>[..., 4]; 0 for sides in the wrong order."""
    left, top, right, bottom = tf.unstack(boxes, axis=-1)
    return _area(right - left, bottom - top)


def _area(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    return tf.maximum(width, 0.0) * tf.maximum(height, 0.0)


def intersection(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the area <float>[...] that boxes <float>[..., 4] share, with broadcasting."""
    # Side by side, as TensorFlow is slow to broadcast over an axis of four.
    left, top, right, bottom = tf.unstack(first, axis=-1)
    other_left, other_top, other_right, other_bottom = tf.unstack(second, axis=-1)
    width = tf.minimum(right, other_right) - tf.maximum(left, other_left)
    return _area(width, tf.minimum(bottom, other_bottom) - tf.maximum(top, other_top))


def iou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the intersection over union <float>[...] of boxes <float>[..., 4], with broadcasting.

    Examples:
        >>> float(iou(tf.constant([0.0, 0.0, 2.0, 2.0]), tf.constant([0.0, 1.0, 2.0, 3.0])))
        0.333...
    """
    shared = intersection(first, second)
    return tf.math.divide_no_nan(shared, area(first) + area(second) - shared)


def pairwise_iou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the IoU of every pair.

    Args:
        first: <float>[..., m, 4].
        second: <float>[..., n, 4].

    Returns:
        <float>[..., m, n].
    """
    return iou(first[..., :, None, :], second[..., None, :, :])


def generalized_iou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns IoU - (C - U) / C with the union U and the smallest enclosing box C, with broadcasting.

    It is 1 for equal boxes and falls towards -1 the further apart they are.

    Reference: Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630
    """
    shared = intersection(first, second)
    union = area(first) + area(second) - shared
    enclosing = area(enclosing_box(first, second))
    gap = tf.math.divide_no_nan(enclosing - union, enclosing)
    return tf.math.divide_no_nan(shared, union) - gap


def enclosing_box(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the smallest boxes <float>[..., 4] around both, with broadcasting."""
    top_left = tf.minimum(first[..., :2], second[..., :2])
    return tf.concat([top_left, tf.maximum(first[..., 2:], second[..., 2:])], axis=-1)


def covered_fraction(boxes: tf.Tensor, regions: tf.Tensor) -> tf.Tensor:
    """Returns what fraction of each box is inside each region.

    Args:
        boxes: <float>[..., m, 4].
        regions: <float>[..., n, 4].

    Returns:
        <float>[..., m, n], 0 to 1; 0 for boxes without area.
    """
    boxes = boxes[..., :, None, :]
    return tf.math.divide_no_nan(intersection(boxes, regions[..., None, :, :]), area(boxes))


def to_centers(boxes: tf.Tensor) -> tf.Tensor:
    """Returns <float>[..., 4], x and y of the center, width and height, of boxes <float>[..., 4].

    Examples:
        >>> to_centers(tf.constant([1.0, 2.0, 5.0, 4.0])).numpy().tolist()
        [3.0, 3.0, 4.0, 2.0]
    """
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return tf.concat([(top_left + bottom_right) / 2.0, bottom_right - top_left], axis=-1)


def from_centers(centers: tf.Tensor) -> tf.Tensor:
    """Returns the boxes <float>[..., 4] of x and y of the center, width and height <float>[..., 4]."""
    middle, half_sides = centers[..., :2], centers[..., 2:] / 2.0
    return tf.concat([middle - half_sides, middle + half_sides], axis=-1)
