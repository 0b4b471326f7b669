"""Assignment of objects to the candidates of a dense detector."""

from __future__ import annotations

import tensorflow as tf

from attnzoo import box_geometry
from attnzoo.layers.matches import MIN_QUALITY, Matches, ObjectBatch, in_crowds

TOP_K = 10
"""Most candidates that one object is assigned to."""


def assign_objects(
    boxes: tf.Tensor, logits: tf.Tensor, centers: tf.Tensor, cell: tf.Tensor, objects: ObjectBatch
) -> Matches:
    """Assigns each object to the candidates inside it that already predict it best.

        t = p^0.5 IoU^6

    ranks the candidates of an object, with the predicted probability p of its class. The `TOP_K` best whose
    center lies inside the object are assigned to it; a candidate of several objects to the one that it is the
    best for, or else to the one of the largest t. The target of the class score is t, scaled so that the best
    candidate of an object has the largest IoU of its candidates; the weight of the box loss is t, scaled so
    that the best has 1. An object smaller than a cell of the finest map is taken for one of a cell's size
    when centers are looked for.

    Args:
        boxes: <float32>[batch, candidates, 4], predicted boxes.
        logits: <float32>[batch, candidates, classes].
        centers: <float32>[candidates, 2], x and y of the positions that candidates belong to.
        cell: <float32>[2], width and height of a cell of the finest map.
        objects: the objects of the batch.

    Returns:
        The matches. They do not depend on the order of the objects or on the amount of padding.

    Reference: Feng et al. 2021, https://arxiv.org/abs/2108.07755

    Examples:
        >>> boxes, logits = tf.constant([[[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]]]), tf.zeros([1, 2, 1])
        >>> centers, cell = tf.constant([[0.25, 0.5], [0.75, 0.5]]), tf.constant([0.5, 1.0])
        >>> valid = tf.constant([[True]])
        >>> objects = ObjectBatch(tf.constant([[[0.1, 0.0, 0.5, 1.0]]]), tf.constant([[0]]), valid, ~valid)
        >>> assign_objects(boxes, logits, centers, cell, objects).weights.numpy().tolist()
        [[1.0, 0.0]]
    """
    boxes, logits = tf.stop_gradient(boxes), tf.stop_gradient(logits)
    classes = tf.one_hot(objects.classes, logits.shape[-1])  # [batch, slots, classes]
    overlaps = box_geometry.pairwise_iou(objects.boxes, boxes)  # [batch, slots, candidates]
    probabilities = tf.einsum("bnc,bsc->bsn", tf.sigmoid(logits), classes)
    # An object that no candidate overlaps yet is assigned as well.
    overlaps = tf.maximum(overlaps, MIN_QUALITY)
    # Not IoU ** 6, which takes longer than all the rest.
    alignment = tf.sqrt(tf.maximum(probabilities, 1e-9)) * tf.square(overlaps * overlaps * overlaps)
    eligible = _are_inside(centers, objects.boxes, cell) & objects.valid[..., None]
    alignment = tf.where(eligible, alignment, 0.0)  # [batch, slots, candidates]

    lowest = tf.math.top_k(alignment, min(TOP_K, boxes.shape[1])).values[..., -1:]
    chosen = tf.where(alignment >= lowest, alignment, 0.0)
    # The best candidate of an object is its own, so that of two objects in one place both are learned.
    is_best = (chosen > 0.0) & (chosen >= tf.reduce_max(chosen, axis=-1, keepdims=True))
    claims = tf.where(is_best | ~tf.reduce_any(is_best, axis=1, keepdims=True), chosen, 0.0)
    owners = tf.one_hot(tf.argmax(claims, axis=1), chosen.shape[1], axis=1, on_value=True, off_value=False)
    assigned = tf.where(owners, chosen, 0.0)  # [batch, slots, candidates]

    best_alignment = tf.reduce_max(assigned, axis=-1, keepdims=True)  # [batch, slots, 1]
    best_overlap = tf.reduce_max(tf.where(assigned > 0.0, overlaps, 0.0), axis=-1, keepdims=True)
    weights = tf.math.divide_no_nan(assigned, best_alignment)  # [batch, slots, candidates]
    scores = tf.einsum("bsn,bsc->bnc", weights * best_overlap, classes)
    is_assigned = tf.cast(assigned > 0.0, tf.float32)
    targets = tf.einsum("bsn,bsk->bnk", is_assigned, objects.boxes)
    ignored = in_crowds(boxes, objects) & ~tf.reduce_any(assigned > 0.0, axis=1)
    return Matches(scores, targets, tf.reduce_sum(weights, axis=1), ignored)


def _are_inside(centers: tf.Tensor, boxes: tf.Tensor, cell: tf.Tensor) -> tf.Tensor:
    """Returns <bool>[batch, slots, candidates]: whether centers are in boxes, grown to at least a cell."""
    x, y, widths, heights = tf.unstack(box_geometry.to_centers(boxes)[:, :, None], axis=-1)
    # A little more than a cell: a box between two centers has one of them.
    half_widths, half_heights = (
        tf.maximum(sides, 1.001 * least) / 2.0
        for sides, least in zip((widths, heights), tf.unstack(cell), strict=True)
    )
    is_beside = tf.abs(centers[:, 0] - x) <= half_widths  # [batch, slots, candidates]
    return is_beside & (tf.abs(centers[:, 1] - y) <= half_heights)
