"""Detections: from the outputs of models to boxes in pixels of the original images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.images.letterbox import to_pixels
from attnzoo.layers import suppression
from attnzoo.tasks.evaluating import evaluation_batches
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import PredictFn

EVALUATION_THRESHOLD = 0.001
"""Score of detections that evaluations count, so that curves of precision and recall reach far."""
SCORE, LABEL = 4, 5
"""Where in a detection of a batch its score and its class number are."""


class Detections(NamedTuple):
    """The detections of one image, best first.

    Attributes:
        boxes: <float32>[detections, 4], left, top, right, bottom in pixels of the upright original image.
        scores: <float32>[detections], above 0, at most 1.
        labels: <int32>[detections], class numbers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def shown(self, threshold: float) -> Detections:
        """Returns the detections with at least this score, each box only as its best class as in answers."""
        _, first = np.unique(self.boxes, axis=0, return_index=True)
        kept = np.sort(first)
        kept = kept[self.scores[kept] >= threshold]
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept])


class Decoding(NamedTuple):
    """How candidates become detections.

    Attributes:
        threshold: detections have a score above it, 0 to 1.
        iou: of two boxes of a class that overlap by more than this, only the better one is kept, 0 to 1.
        max_detections: most detections of an image, best first.
        one_class: whether a candidate is a detection of its best class only, as in answers; metrics gain a
            little from the others.
    """

    threshold: float
    iou: float
    max_detections: int
    one_class: bool = False


def decode(outputs: Mapping[str, tf.Tensor], decoding: Decoding, suppressed: bool) -> tf.Tensor:
    """Returns the detections of a batch, best first.

    Args:
        outputs: `boxes` <float>[batch, candidates, 4] as fractions of the canvas, and `logits`
            <float>[batch, candidates, classes].
        decoding: thresholds and number.
        suppressed: whether several candidates may stand for one object, so that all but the best of those
            that overlap are removed.

    Returns:
        <float32>[batch, max_detections, 6]: left, top, right, bottom as fractions of the canvas, score, class
        number; all 0 where there is no detection.

    Examples:
        >>> boxes = [[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.45]]]
        >>> outputs = {"boxes": tf.constant(boxes), "logits": tf.constant([[[0.0], [-1.0]]])}
        >>> decode(outputs, Decoding(0.25, 0.6, 2), suppressed=True)[0, :, SCORE].numpy().tolist()
        [0.5, 0.0]
    """
    boxes = tf.cast(outputs["boxes"], tf.float32)
    scores = tf.sigmoid(tf.cast(outputs["logits"], tf.float32))  # [batch, candidates, classes]
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    if decoding.one_class:
        scores = tf.where(scores < tf.reduce_max(scores, axis=-1, keepdims=True), 0.0, scores)
    count, threshold = decoding.max_detections, decoding.threshold
    if suppressed:
        return suppression.suppress(boxes, scores, decoding.iou, count, threshold)
    return suppression.take_best(boxes, scores, count, threshold)


def detect_fn(models: Sequence[keras.Model], info: DataInfo, decoding: Decoding) -> PredictFn:
    """Returns a compiled function from the inputs of a batch to the result of `decode`.

    Args:
        models: one model, or several whose candidates are put together.
        info: what is known about the data.
        decoding: thresholds and number.
    """
    suppressed = len(models) > 1 or models[0].get_layer("head").needs_suppression

    @tf.function(autograph=False)
    def detect(inputs):
        inputs = info.model_inputs(inputs)
        each = [model(inputs, training=False) for model in models]
        outputs = {key: tf.concat([one[key] for one in each], axis=1) for key in ("boxes", "logits")}
        return decode(outputs, decoding, suppressed)

    return detect


def boxes_in_pixels(boxes: tf.Tensor, sizes: tf.Tensor, image: Image) -> tf.Tensor:
    """Returns boxes <float32>[batch, detections, 4] in pixels of the original images, clipped to them.

    Args:
        boxes: <float32>[batch, detections, 4] as fractions of the canvas.
        sizes: <int>[batch, 2], height and width of the upright originals.
        image: the feature, which knows the canvas.
    """
    sizes = tf.cast(sizes, tf.int64)[:, None]  # [batch, 1, 2]
    canvas = (image.shape[0], image.shape[1])
    return to_pixels(boxes, sizes[..., 0], sizes[..., 1], canvas, image.resize)


def unpack(batch: np.ndarray, sizes: np.ndarray, image: Image) -> list[Detections]:
    """Returns the detections of each image of a batch.

    Args:
        batch: <float32>[batch, max_detections, 6], see `decode`.
        sizes: <int>[batch, 2], height and width of the upright originals.
        image: the feature, which knows the canvas.
    """
    boxes = boxes_in_pixels(tf.constant(batch[..., :SCORE]), tf.constant(sizes), image).numpy()
    results = []
    for pixels, rows in zip(boxes, batch, strict=True):
        kept = rows[:, SCORE] > 0.0
        results.append(Detections(pixels[kept], rows[kept, SCORE], rows[kept, LABEL].astype(np.int32)))
    return results


def detections_of(
    task: Task,
    predict: PredictFn,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    only: np.ndarray | None = None,
) -> Iterator[tuple[int, Detections]]:
    """Yields the index and the detections of each example of a split, or of those at indices `only`."""
    objects = examples.raw.column("boxes")
    for inputs, targets in evaluation_batches(task, examples, info, sizes, only):
        count = int(tf.math.count_nonzero(targets["weights"]))
        indices = targets["indices"].numpy()[:count]
        batch = predict(inputs).numpy()[:count]
        shapes = np.array([(objects[index].height, objects[index].width) for index in indices])
        yield from zip(map(int, indices), unpack(batch, shapes, info.features["image"]), strict=True)
