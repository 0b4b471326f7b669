"""The head of set prediction: one candidate for each object, matched one to one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import optimize

from attnzoo import box_geometry
from attnzoo.attention.base import check_positive
from attnzoo.layers.detection_head import DetectionHead, class_bias
from attnzoo.layers.matches import MIN_QUALITY, Matches, ObjectBatch, in_crowds
from attnzoo.layers.normalization import LayerNormalization

CLASS_COST, DISTANCE_COST, IOU_COST = 2.0, 5.0, 2.0
"""Weights of the costs of a match: focal loss of the class, L1 distance, generalized IoU."""
FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.25
MAX_COST = 1e6
"""Cost that takes the place of a number that is not finite."""


@keras.saving.register_keras_serializable("attnzoo")
class SetPredictionHead(DetectionHead):
    """Class logits of the queries of every decoder block, which share their weights.

    The Hungarian algorithm matches each object to one query, so that the sum of the costs of all matches of
    an image is smallest. The target score of a matched query is the IoU of its box with the object.

    Args:
        num_classes: number of classes, 1 or more.
        num_layers: number of decoder blocks, 1 or more.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: list of `num_layers` pairs of boxes <float32>[batch, queries, 4] (x and y of the center,
            width, height) and hidden states <float>[batch, queries, units].

    Returns:
        `boxes` and `logits` of the last block, see `Outputs`, and those of the blocks before as
        `auxiliary_boxes` <float32>[batch, num_layers - 1, queries, 4] and `auxiliary_logits`.

    Raises:
        ValueError: `num_classes` or `num_layers` below 1.

    Reference: Carion et al. 2020, https://arxiv.org/abs/2005.12872

    Examples:
        >>> head = SetPredictionHead(num_classes=3, num_layers=1)
        >>> outputs = head([(tf.fill([2, 5, 4], 0.5), tf.random.normal([2, 5, 16]))])
        >>> outputs["boxes"][0, 0].numpy().tolist(), outputs["logits"].shape
        ([0.25, 0.25, 0.75, 0.75], TensorShape([2, 5, 3]))
    """

    needs_suppression = False
    distance_weight = 5.0

    def __init__(self, num_classes: int, num_layers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_positive("num_classes", num_classes)
        self.num_layers = check_positive("num_layers", num_layers)
        self.normalization = LayerNormalization(epsilon=1e-6, name="norm", dtype=self.dtype_policy)
        # Scores need more digits than half precision has.
        self.class_logits = keras.layers.Dense(
            num_classes, bias_initializer=class_bias(), name="class_logits", dtype="float32"
        )

    def build(self, inputs_shape):
        """Builds the sublayers."""
        _, hidden_shape = inputs_shape[-1]
        self.normalization.build(hidden_shape)
        self.class_logits.build(hidden_shape)
        self.built = True

    def call(self, inputs):
        """Predicts the candidates."""
        boxes = tf.stack([box_geometry.from_centers(boxes) for boxes, _ in inputs], axis=1)
        hidden = tf.stack([hidden for _, hidden in inputs], axis=1)  # [batch, layers, queries, units]
        logits = self.class_logits(self.normalization(hidden))
        outputs = {"boxes": boxes[:, -1], "logits": logits[:, -1]}
        if self.num_layers > 1:
            outputs |= {"auxiliary_boxes": boxes[:, :-1], "auxiliary_logits": logits[:, :-1]}
        return outputs

    def all_outputs(self, outputs):
        """Returns the outputs of every block as of further images."""
        if self.num_layers == 1:
            return outputs
        return {
            name: tf.concat(
                [outputs[name], *tf.unstack(outputs[f"auxiliary_{name}"], self.num_layers - 1, axis=1)],
                axis=0,
            )
            for name in ("boxes", "logits")
        }

    def match(self, outputs, objects):
        """Matches each object to a query, in one call of SciPy for the batch."""
        boxes, logits = (tf.stop_gradient(outputs[name]) for name in ("boxes", "logits"))
        costs = match_costs(boxes, logits, objects)
        owners = tf.numpy_function(_solve, [costs, objects.valid], tf.int32)
        owners = tf.ensure_shape(owners, costs.shape[:2])  # [batch, queries]
        chosen = tf.one_hot(owners, objects.valid.shape[1])  # [batch, queries, slots]; none: all 0
        targets = tf.einsum("bqs,bsk->bqk", chosen, objects.boxes)
        quality = tf.maximum(box_geometry.iou(boxes, targets), MIN_QUALITY)  # [batch, queries]
        classes = tf.one_hot(objects.classes, self.num_classes)
        scores = tf.einsum("bqs,bsc->bqc", chosen, classes) * quality[..., None]
        weights = tf.reduce_sum(chosen, axis=-1)
        return Matches(scores, targets, weights, in_crowds(boxes, objects) & (weights == 0.0))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes, "num_layers": self.num_layers}


def match_costs(boxes: tf.Tensor, logits: tf.Tensor, objects: ObjectBatch) -> tf.Tensor:
    """Returns what it costs to match each query to each object, <float32>[batch, queries, slots].

    Args:
        boxes: <float32>[batch, queries, 4] in fractions of the canvas.
        logits: <float32>[batch, queries, classes].
        objects: the objects.
    """
    classes = tf.one_hot(objects.classes, logits.shape[-1])  # [batch, slots, classes]
    probabilities = tf.sigmoid(logits)
    right = FOCAL_ALPHA * (1.0 - probabilities) ** FOCAL_GAMMA * tf.nn.softplus(-logits)
    wrong = (1.0 - FOCAL_ALPHA) * probabilities**FOCAL_GAMMA * tf.nn.softplus(logits)
    class_costs = tf.einsum("bqc,bsc->bqs", right - wrong, classes)
    predicted, true = box_geometry.to_centers(boxes), box_geometry.to_centers(objects.boxes)
    distances = tf.reduce_sum(tf.abs(predicted[:, :, None] - true[:, None]), axis=-1)
    overlaps = box_geometry.generalized_iou(boxes[:, :, None], objects.boxes[:, None])
    return CLASS_COST * class_costs + DISTANCE_COST * distances - IOU_COST * overlaps


def _solve(costs: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Returns the slot of each query's object, or -1, <int32>[batch, queries].

    Args:
        costs: <float32>[batch, queries, slots].
        valid: <bool>[batch, slots].
    """
    owners = np.full(costs.shape[:2], -1, np.int32)
    costs = np.nan_to_num(costs, nan=MAX_COST, posinf=MAX_COST, neginf=-MAX_COST)
    for one, of_image, is_object in zip(owners, costs, valid, strict=True):
        (slots,) = np.nonzero(is_object)
        queries, columns = optimize.linear_sum_assignment(of_image[:, slots])
        one[queries] = slots[columns]
    return owners
