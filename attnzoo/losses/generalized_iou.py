"""Generalized IoU loss of boxes."""

from __future__ import annotations

import tensorflow as tf

from attnzoo import box_geometry


def generalized_iou(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """One minus the generalized IoU, which also draws boxes together that do not overlap.

        loss = 1 - I / U + (C - U) / C

    with the areas of the intersection I, of the union U and of the smallest enclosing box C.

    Args:
        boxes: <float>[..., 4]: left, top, right, bottom.
        targets: <float32>[..., 4], the true ones.

    Returns:
        <float32>[...], 0 to 2.

    Reference: Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630

    Examples:
        >>> target = tf.constant([0.0, 0.0, 2.0, 2.0])
        >>> apart = tf.constant([2.0, 2.0, 4.0, 4.0])  # I = 0, U = 8, C = 16
        >>> float(generalized_iou(target, target)), float(generalized_iou(apart, target))
        (0.0, 1.5)
    """
    return 1.0 - box_geometry.generalized_iou(tf.cast(boxes, tf.float32), targets)
