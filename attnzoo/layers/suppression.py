"""From the candidates of a detector to its detections, in the graph."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.shapes import length

MAX_CANDIDATES = 1000
"""Most candidates of an image, those with the highest scores, that suppression compares with each other."""


def suppress(
    boxes: tf.Tensor, scores: tf.Tensor, iou: float, max_detections: int, threshold: float
) -> tf.Tensor:
    """Non-maximum suppression: drops boxes that overlap a better one of the same class.

    Args:
        boxes: <float32>[batch, candidates, 4]: left, top, right, bottom.
        scores: <float32>[batch, candidates, classes], 0 to 1; a candidate may be of several classes.
        iou: largest IoU of two detections of one class, 0 to 1.
        max_detections: most detections of an image, 1 or more.
        threshold: lowest score of a detection, 0 to 1.

    Returns:
        <float32>[batch, max_detections, 6]: box, score and class, best first; zeros after the last detection.

    Examples:
        >>> boxes = tf.constant([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.0], [0.0, 0.0, 0.2, 0.2]]])
        >>> scores = tf.constant([[[0.5], [0.75], [0.25]]])
        >>> suppress(boxes, scores, 0.6, 2, 0.001).numpy()[0, :, 4].tolist()
        [0.75, 0.25]
    """
    if (boxes.shape[1] or MAX_CANDIDATES + 1) > MAX_CANDIDATES:
        count = tf.minimum(tf.shape(boxes)[1], MAX_CANDIDATES)
        best = tf.math.top_k(tf.reduce_max(scores, axis=-1), count).indices
        boxes, scores = (tf.gather(values, best, batch_dims=1) for values in (boxes, scores))
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores,
        max_output_size_per_class=max_detections,
        max_total_size=max_detections,
        iou_threshold=iou,
        score_threshold=threshold,
        clip_boxes=False,
    )
    return _pack(kept.nmsed_boxes, kept.nmsed_scores, kept.nmsed_classes)


def take_best(boxes: tf.Tensor, scores: tf.Tensor, max_detections: int, threshold: float) -> tf.Tensor:
    """Returns the candidates with the highest scores: arguments and result as of `suppress`.

    Examples:
        >>> boxes = tf.constant([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.0]]])
        >>> take_best(boxes, tf.constant([[[0.25, 0.0], [0.5, 0.75]]]), 3, 0.001).numpy()[0, :, 4:].tolist()
        [[0.75, 1.0], [0.5, 0.0], [0.25, 0.0]]
    """
    classes = scores.shape[-1]
    flat = tf.reshape(scores, [length(scores, 0), length(scores, 1) * classes])
    count = tf.minimum(tf.shape(flat)[1], max_detections)
    best, indices = tf.math.top_k(flat, count)
    best = tf.where(best >= threshold, best, 0.0)
    chosen = tf.gather(boxes, indices // classes, batch_dims=1)
    packed = _pack(chosen, best, tf.cast(indices % classes, tf.float32))
    packed = tf.pad(packed, [[0, 0], [0, max_detections - count], [0, 0]])
    return tf.ensure_shape(packed, [None, max_detections, 6])


def _pack(boxes: tf.Tensor, scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    packed = tf.concat([boxes, scores[..., None], classes[..., None]], axis=-1)
    return tf.where(scores[..., None] > 0.0, packed, 0.0)
