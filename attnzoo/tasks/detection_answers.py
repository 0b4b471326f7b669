"""Answers of detectors to image files, and the same as an export: boxes in pixels of the original images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.data.token_batches import BATCH_SIZE
from attnzoo.features.image import Image, find_file, image_name
from attnzoo.features.info import DataInfo
from attnzoo.images import decoding, pixels
from attnzoo.records.text_files import object_array
from attnzoo.tasks import detection_decoding
from attnzoo.tasks.detection_decoding import LABEL, SCORE, Decoding
from attnzoo.tasks.detection_matching import SplitDetections
from attnzoo.tasks.detection_options import SCORE_THRESHOLD
from attnzoo.tasks.serving import ServingModule, for_any_batch
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import PredictFn, Predictor

PIXEL_DECIMALS, SCORE_DECIMALS = 2, 6
KEYS = ("image", "height", "width", "detections", "truncated", "beyond_training")
"""Keys of an answer."""
COLUMNS = ("image", "label", "score", "left", "top", "right", "bottom")
"""Columns of a table of answers, one row per detection."""


def serving_function(models: Sequence[keras.Model], info: DataInfo, decode: Decoding):
    """Returns a graph function from the bytes of image files <string>[batch] to detections, best first.

    Its outputs are `boxes` <float32>[batch, max_detections, 4] (left, top, right, bottom in pixels of the
    upright original image), `scores` <float32>[batch, max_detections], `labels`
    <string>[batch, max_detections], `num_detections` <int32>[batch] (what comes after them is 0 or empty),
    and `sizes` <int32>[batch, 2], height and width of the upright images.
    """
    image: Image = info.features["image"]
    names = tf.constant([*info.features["boxes"].names, ""])
    detect = for_any_batch(detection_decoding.detect_fn(models, info, decode))

    def serve(raw: tf.Tensor) -> dict[str, tf.Tensor]:
        images, sizes = _read(raw, image)
        batch = detect({"image": images})  # [batch, max_detections, 6]
        scores = batch[..., SCORE]
        labels = tf.where(scores > 0.0, tf.cast(batch[..., LABEL], tf.int32), len(names) - 1)
        boxes = detection_decoding.boxes_in_pixels(batch[..., :SCORE], sizes, image)
        return {
            "boxes": tf.where(scores[..., None] > 0.0, boxes, 0.0),
            "scores": scores,
            "labels": tf.gather(names, labels),
            "num_detections": tf.math.count_nonzero(scores > 0.0, axis=-1, dtype=tf.int32),
            "sizes": sizes,
        }

    return serve


def _read(raw: tf.Tensor, image: Image) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images [batch, height, width, channels] on the canvas, and their sizes <int32>[batch, 2]."""

    def read(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        decoded = decoding.decode(encoded, image.pixel_format)
        return pixels.resize(decoded, image.shape, image.bars), tf.shape(decoded)[:2]

    shapes = (tf.TensorSpec(image.shape, image.pixel_format.dtype), tf.TensorSpec([2], tf.int32))
    images, sizes = tf.map_fn(read, raw, fn_output_signature=shapes)
    return images, sizes


def predictor(models: Sequence[keras.Model], info: DataInfo, decode: Decoding) -> Predictor:
    """Returns a function from paths of images to one answer each.

    An answer has `image` (the path), `height` and `width` of the upright image, and `detections`, best first:
    dicts of `label`, `score` (0 to 1) and `box` (left, top, right, bottom in pixels of that image).

    Args:
        models: one model, or several whose candidates are put together.
        info: what is known about the data.
        decode: thresholds and number.

    Raises:
        BadRecord: by the returned function: an image has a valid header but cannot be decoded.
    """
    spec = tf.TensorSpec([None], tf.string)
    serve = tf.function(serving_function(models, info, decode), input_signature=[spec], autograph=False)
    feature: Image = info.features["image"]

    def answer(paths: Sequence[str]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(paths), BATCH_SIZE):
            chosen = paths[start : start + BATCH_SIZE]
            files = [find_file(path) for path in chosen]
            try:
                outputs = serve(tf.constant([file.read_bytes() for file in files]))
            except tf.errors.OpError:
                bad_record = feature.find_damaged(object_array([str(file) for file in files]), "")
                if bad_record is None:
                    raise
                raise bad_record from None
            values = {name: tensor.numpy() for name, tensor in outputs.items()}
            for index, path in enumerate(chosen):
                answers.append(_answer(path, {name: array[index] for name, array in values.items()}))
        return answers

    return answer


def _answer(path: str, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    height, width = map(int, outputs["sizes"])
    detections = [
        {
            "label": outputs["labels"][number].decode("utf-8"),
            "score": round(float(outputs["scores"][number]), SCORE_DECIMALS),
            "box": _rounded(outputs["boxes"][number]),
        }
        for number in range(int(outputs["num_detections"]))
    ]
    notes = {"truncated": False, "beyond_training": False}
    return {"image": path, "height": height, "width": width, "detections": detections, **notes}


def answer_line(answer: Mapping[str, Any]) -> str:
    """Returns an answer as one line: the image, then each label with its score and box in whole pixels.

    Examples:
        >>> detections = [{"label": "cat", "score": 0.912, "box": [3.2, 4.0, 50.7, 60.1]}]
        >>> answer_line({"image": "a.png", "detections": detections})
        'a.png\\tcat 0.91 [3 4 51 60]'
    """
    texts = []
    for one in answer["detections"]:
        box = " ".join(f"{side:.0f}" for side in one["box"])
        texts.append(f"{' '.join(one['label'].splitlines())} {one['score']:.2f} [{box}]")
    return f"{answer['image']}\t{', '.join(texts) or 'nothing'}"


def answer_table(answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Returns the columns of a table and the rows of an answer, one per detection; one if it is null."""
    if answer["detections"] is None:
        return list(COLUMNS), [[answer["image"], *[None] * (len(COLUMNS) - 1)]]
    rows = [[answer["image"], one["label"], one["score"], *one["box"]] for one in answer["detections"]]
    return list(COLUMNS), rows


def results(split: SplitDetections, examples: Examples, threshold: float) -> Iterator[dict[str, Any]]:
    """Yields `image`, its `objects` and its `detections` from a score on, as in answers."""
    images = examples.raw.column("image")
    for number, (objects, found) in enumerate(zip(split.objects, split.detections, strict=True)):
        shown = found.shown(threshold)
        true = [
            {"label": split.names[label], "box": _rounded(box), "crowd": bool(crowd)}
            for label, box, crowd in zip(objects.labels, objects.boxes, objects.crowd, strict=True)
        ]
        detections = [
            {"label": split.names[label], "score": round(float(score), SCORE_DECIMALS), "box": _rounded(box)}
            for label, score, box in zip(shown.labels, shown.scores, shown.boxes, strict=True)
        ]
        yield {"image": image_name(images, number), "objects": true, "detections": detections}


def _rounded(box: np.ndarray) -> list[float]:
    return [round(float(side), PIXEL_DECIMALS) for side in box]


def rows(
    task: Task,
    predict: PredictFn,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    indices: np.ndarray,
) -> list[dict[str, str]]:
    """Returns for each image the objects and the detections, as numbers per class, and the best score."""
    detections = dict(detection_decoding.detections_of(task, predict, examples, info, sizes, indices))
    images, objects = examples.raw.column("image"), examples.raw.column("boxes")
    names = info.features["boxes"].names
    return [
        {
            "image": image_name(images, index),
            "objects": _counts(objects[index].labels[~objects[index].crowd], names),
            "detected": _counts(detections[index].shown(SCORE_THRESHOLD).labels, names),
            "best score": f"{max(detections[index].scores, default=0.0):.3f}",
        }
        for index in map(int, indices)
    ]


def _counts(labels: np.ndarray, names: Sequence[str]) -> str:
    counts = np.bincount(labels, minlength=len(names))
    return ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True) if count) or "none"


def serving_module(model: keras.Model, info: DataInfo, decode: Decoding) -> ServingModule:
    """Returns an export from the bytes of image files to detections, see `serving_function`."""
    # TensorFlow does not find the variables of layers that another layer holds in a tuple.
    resources = [model, *(variable.value for variable in model.variables)]
    return ServingModule({"serving_default": serving_function([model], info, decode)}, "image", resources)
