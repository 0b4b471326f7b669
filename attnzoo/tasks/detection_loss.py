"""The loss of a detector."""

from __future__ import annotations

import keras
import tensorflow as tf

from attnzoo import box_geometry
from attnzoo.layers import matches as object_matches
from attnzoo.layers.detection_head import DetectionHead, Outputs
from attnzoo.losses.complete_iou import complete_iou
from attnzoo.losses.focal import focal
from attnzoo.losses.generalized_iou import generalized_iou
from attnzoo.losses.quality_focal import quality_focal
from attnzoo.tasks.detection_options import DetectionTrainOptions


def head_of(model: keras.Model) -> DetectionHead:
    """Returns the head of a detector: its layer `head`."""
    head = model.get_layer("head")
    assert isinstance(head, DetectionHead)
    return head


def loss_sums(
    model: keras.Model,
    outputs: Outputs,
    objects: tf.Tensor,
    weights: tf.Tensor,
    options: DetectionTrainOptions,
) -> dict[str, tf.Tensor]:
    """Returns `loss`, `class_loss` and `box_loss` <float32>[2]: sums, and the number of objects.

    An image without objects counts as one with one object.

    Args:
        model: a detector.
        outputs: its outputs for a batch.
        objects: <float32>[batch, slots, 6], see `layers.matches.unpack_objects`.
        weights: <float32>[batch], 0 for images that only fill up the batch.
        options: the losses and their weights.
    """
    head, batch = head_of(model), object_matches.unpack_objects(objects)
    num_objects = tf.reduce_sum(tf.cast(batch.valid, tf.float32), axis=-1)  # [batch]
    count = tf.reduce_sum(weights * tf.maximum(num_objects, 1.0))
    outputs = head.all_outputs(outputs)
    batch = object_matches.ObjectBatch(*(_repeat(values, head.num_layers) for values in batch))
    weights = _repeat(weights, head.num_layers)
    matches = head.match(outputs, batch)
    class_loss = tf.reduce_sum(weights * _class_losses(outputs, matches, options))
    box_loss = tf.reduce_sum(weights * _box_losses(outputs, matches, options, head.distance_weight))
    sums = {"loss": class_loss + box_loss, "class_loss": class_loss, "box_loss": box_loss}
    return {name: tf.stack([value, count]) for name, value in sums.items()}


def _class_losses(
    outputs: Outputs, matches: object_matches.Matches, options: DetectionTrainOptions
) -> tf.Tensor:
    """Returns <float32>[batch], the sum over candidates and classes."""
    if options.class_loss == "focal":
        labels = tf.cast(matches.scores > 0.0, tf.float32)
        losses = focal(outputs["logits"], labels, options.focal_gamma)
    else:
        losses = quality_focal(outputs["logits"], matches.scores, options.focal_gamma)
    return tf.reduce_sum(tf.where(matches.ignored[..., None], 0.0, losses), axis=[1, 2])


def _box_losses(
    outputs: Outputs, matches: object_matches.Matches, options: DetectionTrainOptions, distance_weight: float
) -> tf.Tensor:
    """Returns <float32>[batch], the weighted sum over candidates."""
    boxes = tf.cast(outputs["boxes"], tf.float32)
    loss = complete_iou if options.box_loss == "ciou" else generalized_iou
    losses = options.box_weight * loss(boxes, matches.boxes)
    if options.distance_weight is not None:
        distance_weight = options.distance_weight
    if distance_weight:
        distances = box_geometry.to_centers(boxes) - box_geometry.to_centers(matches.boxes)
        losses += distance_weight * tf.reduce_sum(tf.abs(distances), axis=-1)
    return tf.reduce_sum(matches.weights * losses, axis=1)


def _repeat(values: tf.Tensor, times: int) -> tf.Tensor:
    return values if times == 1 else tf.concat([values] * times, axis=0)
