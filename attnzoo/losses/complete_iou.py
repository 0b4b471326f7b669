"""Complete IoU loss of boxes."""

from __future__ import annotations

import math

import tensorflow as tf

from attnzoo import box_geometry

EPSILON = 1e-9
"""Keeps the gradient of the aspect ratio finite for boxes without width and height."""


def complete_iou(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """One minus the IoU, plus the distance of the centers and the difference of the aspect ratios.

        loss = 1 - IoU + d^2 / c^2 + a v        v = 4 / pi^2 (atan(w' / h') - atan(w / h))^2
                                                a = v / (1 - IoU + v), without gradient

    with the distance d of the centers, the diagonal c of the smallest enclosing box, and width and height
    w, h of the box and w', h' of the target.

    Args:
        boxes: <float>[..., 4]: left, top, right, bottom.
        targets: <float32>[..., 4], the true ones.

    Returns:
        <float32>[...], 0 to 3.

    Reference: Zheng et al. 2020, https://arxiv.org/abs/1911.08287

    Examples:
        >>> target = tf.constant([0.0, 0.0, 2.0, 2.0])
        >>> apart = tf.constant([2.0, 2.0, 4.0, 4.0])  # IoU = 0, d^2 = 8, c^2 = 32, v = 0
        >>> float(complete_iou(target, target)), float(complete_iou(apart, target))
        (0.0, 1.25)
    """
    boxes = tf.cast(boxes, tf.float32)
    overlap = box_geometry.iou(boxes, targets)
    box, target = box_geometry.to_centers(boxes), box_geometry.to_centers(targets)
    enclosing = box_geometry.to_centers(box_geometry.enclosing_box(boxes, targets))
    distance = tf.reduce_sum(tf.square(box[..., :2] - target[..., :2]), axis=-1)
    diagonal = tf.reduce_sum(tf.square(enclosing[..., 2:]), axis=-1)
    ratio = 4.0 / math.pi**2 * tf.square(_angle(target) - _angle(box))
    weight = tf.stop_gradient(tf.math.divide_no_nan(ratio, 1.0 - overlap + ratio))
    return 1.0 - overlap + tf.math.divide_no_nan(distance, diagonal) + weight * ratio


def _angle(centers: tf.Tensor) -> tf.Tensor:
    return tf.math.atan2(tf.maximum(centers[..., 2], 0.0), tf.maximum(centers[..., 3], 0.0) + EPSILON)
