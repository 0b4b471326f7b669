"""Pictures of detections: boxes over images, curves of precision and recall, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo import pictures
from attnzoo.data.examples import Examples
from attnzoo.features.boxes import Boxes, Objects
from attnzoo.features.image import Image, file_bytes, image_name
from attnzoo.features.info import DataInfo
from attnzoo.images import decoding
from attnzoo.images.letterbox import to_canvas
from attnzoo.pictures import DOTS_PER_INCH, TENSORBOARD_INCHES, BoxLayer, class_color
from attnzoo.tasks.confusion import draw as draw_confusion
from attnzoo.tasks.confusion import short_name
from attnzoo.tasks.detection_decoding import Detections
from attnzoo.tasks.detection_errors import BACKGROUND, confusion_matrix, errors_of, worst_images
from attnzoo.tasks.detection_matching import SplitDetections
from attnzoo.tasks.detection_metrics import Curve, average_precisions, details
from attnzoo.tasks.detection_options import SCORE_THRESHOLD
from attnzoo.tasks.types import WorstExample

MIN_SIDE, MAX_SIDE = 640, 2048
"""Pixels of the longer side of a picture of an image; smaller ones are enlarged, larger ones reduced."""
MISSED, FOUND, CROWD = "red", "white", "gray"
"""Colors of true objects."""
MAX_CURVES = 10
"""More classes than this have no curves of their own."""


def whole_width(image: np.ndarray) -> int:
    """Returns the width of a picture of an image in pixels."""
    height, width = image.shape[:2]
    longest = max(height, width)
    return max(1, round(width * np.clip(longest, MIN_SIDE, MAX_SIDE) / longest))


def original_pixels(item: Any, image: Image) -> np.ndarray:
    """Returns an image of a column, upright and of its own size, [height, width, channels]."""
    if isinstance(item, np.ndarray):
        return item
    return decoding.decode(tf.constant(file_bytes(item)), image.pixel_format).numpy()


def prediction_layer(detections: Detections, names: Sequence[str]) -> BoxLayer:
    """Returns detections with class and score, in the colors of their classes."""
    texts = [
        f"{short_name(names[label])} {score:.2f}"
        for label, score in zip(detections.labels, detections.scores, strict=True)
    ]
    return BoxLayer(detections.boxes, texts, [class_color(int(label)) for label in detections.labels])


def truth_layer(detections: Detections, objects: Objects, names: Sequence[str]) -> BoxLayer:
    """Returns the true objects, dashed: white, or red with their class if they are missed."""
    missed = errors_of(detections, objects).missed
    texts = [
        short_name(names[label]) if lost else "" for label, lost in zip(objects.labels, missed, strict=True)
    ]
    colors = [
        CROWD if is_crowd else MISSED if lost else FOUND
        for is_crowd, lost in zip(objects.crowd, missed, strict=True)
    ]
    return BoxLayer(objects.boxes, texts, colors, is_dashed=True)


def draw_errors(
    pixels: np.ndarray,
    detections: Detections,
    objects: Objects,
    names: Sequence[str],
    width: int | None = None,
) -> np.ndarray:
    """Draws predicted boxes, and true ones dashed: white, red where they are missed, gray for crowds.

    Args:
        pixels: [height, width, channels], the image that the boxes are in pixels of.
        detections: those that are shown.
        objects: the true ones.
        names: of the classes.
        width: of the picture in pixels; None for about that of the image.
    """
    layers = [truth_layer(detections, objects, names), prediction_layer(detections, names)]
    return pictures.draw_boxes(pixels, layers, width or whole_width(pixels))


def draw_samples(
    images: np.ndarray,
    detections: Mapping[int, Detections],
    examples: Examples,
    indices: np.ndarray,
    info: DataInfo,
) -> np.ndarray:
    """Draws images as the model sees them, see `draw_errors`, <uint8>[images, height, width, 3].

    Args:
        images: [images, height, width, channels], on the canvas.
        detections: those of each index; those that are likely enough are shown.
        examples: the split.
        indices: <int>[images], of the images.
        info: what is known about the data.
    """
    width, boxes = round(TENSORBOARD_INCHES * DOTS_PER_INCH), info.features["boxes"]
    drawn = []
    for image, index in zip(images, map(int, indices), strict=True):
        true: Objects = examples.raw.column("boxes")[index]
        shown = detections[index].shown(SCORE_THRESHOLD)
        shown = shown._replace(boxes=on_canvas(shown.boxes, true, boxes))
        height, columns = boxes.canvas
        placed = Objects(height, columns, on_canvas(true.boxes, true, boxes), true.labels, true.crowd)
        drawn.append(draw_errors(image, shown, placed, boxes.names, width))
    return np.stack(drawn)


def on_canvas(values: np.ndarray, objects: Objects, boxes: Boxes) -> np.ndarray:
    """Returns boxes <float32>[n, 4] in pixels of an original image in pixels of the canvas."""
    height, width = boxes.canvas
    fractions = to_canvas(values, objects.height, objects.width, (height, width), boxes.resize)
    return fractions * np.array([width, height, width, height], np.float32)


def draw_answer(answer: Mapping[str, Any], path: Path, info: DataInfo) -> np.ndarray:
    """Draws the detections of an answer over the image."""
    detections, names = answer["detections"], info.features["boxes"].names
    detections = Detections(
        np.array([one["box"] for one in detections], np.float32).reshape(-1, 4),
        np.array([one["score"] for one in detections], np.float32),
        np.array([names.index(one["label"]) for one in detections], np.int32),
    )
    pixels = original_pixels(str(path), info.features["image"])
    return pictures.draw_boxes(pixels, [prediction_layer(detections, names)], whole_width(pixels))


def worst(
    split: SplitDetections, examples: Examples, info: DataInfo, threshold: float, count: int
) -> list[WorstExample]:
    """Returns the images of `worst_images`, drawn as by `draw_errors`."""
    column, results = examples.raw.column("image"), []
    for one in worst_images(split, threshold, count):
        detections, objects = split.detections[one.number].shown(threshold), split.objects[one.number]
        pixels = original_pixels(column[one.number], info.features["image"])
        picture = draw_errors(pixels, detections, objects, split.names)
        results.append(WorstExample(image_name(column, one.number), one._asdict(), str(one), picture))
    return results


def of_split(split: SplitDetections) -> dict[str, np.ndarray]:
    """Draws `precision_recall` and, at the score threshold with the best F1, `confusion_matrix`."""
    matrix = confusion_matrix(split, details(split)["best_threshold"])
    return {
        "precision_recall": draw_curves(split),
        "confusion_matrix": draw_confusion(matrix, [*split.names, BACKGROUND]),
    }


def draw_curves(split: SplitDetections) -> np.ndarray:
    """Draws precision over recall at IoU 0.5 for each class with objects, <uint8>[height, width, 3]."""
    from matplotlib.figure import Figure

    table = split.table
    averages = average_precisions(table, np.ones((1, table.num_images), np.int64))[0, 0]
    numbers = [number for number in range(table.num_classes) if not np.isnan(averages[number])]
    with pictures.literal_text():
        size = (TENSORBOARD_INCHES, TENSORBOARD_INCHES)
        figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
        axes = figure.add_subplot()
        for number in numbers:
            curve = Curve(table, number)
            name = (
                f"{short_name(split.names[number])} {averages[number]:.3f}"
                if len(numbers) <= MAX_CURVES
                else None
            )
            axes.plot(curve.recall, curve.precision, linewidth=1, color=class_color(number), label=name)
        mean = f"mean AP50 {np.mean(averages[numbers]):.3f}" if numbers else "no objects"
        axes.set_title(mean, fontsize=9)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        if 0 < len(numbers) <= MAX_CURVES:
            axes.legend(fontsize=7, loc="lower left")
        return pictures.render(figure)
