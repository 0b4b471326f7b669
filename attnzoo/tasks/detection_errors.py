"""What detections at one score threshold get wrong, image by image: missed, mistaken and invented objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnzoo.features.boxes import Objects
from attnzoo.tasks.detection_decoding import Detections
from attnzoo.tasks.detection_matching import SplitDetections, overlaps

MIN_IOU = 0.5
"""Overlap from which on a detection is of an object."""
BACKGROUND = "background"
_NOTHING, _CROWD = -1, -2


class Errors(NamedTuple):
    """Which detections and objects of an image belong together.

    Attributes:
        detection_of: <int64>[objects], number of the detection of each object; -1 for none.
        object_of: <int64>[detections], number of the object of each detection; -1 for background, -2 for
            crowds, which count as nothing.
        missed: <bool>[objects], objects that no detection of their class is of; never crowds.
        wrong: <bool>[detections], detections that are of no object of their class; never of crowds.
    """

    detection_of: np.ndarray
    object_of: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


def errors_of(detections: Detections, objects: Objects) -> Errors:
    """Pairs detections with objects of at least IoU 0.5: those of one class first, then the most overlapping.

    Examples:
        >>> box = np.array([[0.0, 0.0, 8.0, 8.0]], np.float32)
        >>> detections = Detections(box, np.array([0.9], np.float32), np.array([1], np.int32))
        >>> errors = errors_of(detections, Objects(16, 16, box, np.array([0], np.int32), np.array([False])))
        >>> errors.object_of.tolist(), errors.missed.tolist(), errors.wrong.tolist()
        ([0], [True], [True])
    """
    boxes, others = (one.boxes.astype(np.float64) for one in (detections, objects))
    iou = overlaps(boxes[:, None], others[None], objects.crowd[None])  # [detections, objects]
    same = detections.labels[:, None] == objects.labels[None]
    object_of = np.full(len(boxes), _NOTHING)
    detection_of = np.full(len(others), _NOTHING)
    pairs = np.argwhere((iou >= MIN_IOU) & ~objects.crowd)
    keys = (-iou[tuple(pairs.T)], ~same[tuple(pairs.T)])
    for detection, number in pairs[np.lexsort(keys)]:
        if object_of[detection] == _NOTHING and detection_of[number] == _NOTHING:
            object_of[detection], detection_of[number] = number, detection
    over_crowd = ((iou >= MIN_IOU) & objects.crowd).any(axis=1)
    object_of[(object_of == _NOTHING) & over_crowd] = _CROWD
    is_right = np.zeros(len(boxes), bool)
    is_right[object_of >= 0] = same[object_of >= 0, object_of[object_of >= 0]]
    found = np.zeros(len(others), bool)
    found[object_of[is_right]] = True
    wrong = ~is_right & (object_of != _CROWD)
    return Errors(detection_of, object_of, ~found & ~objects.crowd, wrong)


def confusion_matrix(split: SplitDetections, threshold: float) -> np.ndarray:
    """Returns how often objects of each class are detected as each class.

    Returns:
        <int64>[classes + 1, classes + 1], true class by predicted class. The last row counts detections of
        background, the last column objects that are missed.
    """
    background = len(split.names)
    counts = np.zeros((background + 1, background + 1), np.int64)
    for detections, objects in zip(split.detections, split.objects, strict=True):
        kept = detections.shown(threshold)
        errors = errors_of(kept, objects)
        paired = errors.object_of >= 0
        np.add.at(counts, (objects.labels[errors.object_of[paired]], kept.labels[paired]), 1)
        np.add.at(counts, (background, kept.labels[errors.object_of == _NOTHING]), 1)
        lost = (errors.detection_of == _NOTHING) & ~objects.crowd
        np.add.at(counts, (objects.labels[lost], background), 1)
    return counts


class ImageErrors(NamedTuple):
    """The errors in one image.

    Attributes:
        number: of the example.
        missed: number of objects that are not found.
        wrong: number of detections that are of no object of their class.
        objects: number of objects.
    """

    number: int
    missed: int
    wrong: int
    objects: int

    def __str__(self) -> str:
        return f"{self.missed} of {self.objects} objects missed, {self.wrong} wrong detections"


def worst_images(split: SplitDetections, threshold: float, count: int) -> list[ImageErrors]:
    """Returns the images with the most missed objects, of equal ones those with the surest wrong detections.

    Args:
        split: detections and objects.
        threshold: detections have at least this score.
        count: most images; images without errors are left out.
    """
    ranked = []
    for index, (detections, objects) in enumerate(zip(split.detections, split.objects, strict=True)):
        kept = detections.shown(threshold)
        errors = errors_of(kept, objects)
        missed, wrong = int(errors.missed.sum()), int(errors.wrong.sum())
        if missed or wrong:
            image = ImageErrors(index, missed, wrong, int((~objects.crowd).sum()))
            ranked.append((-missed, -float(kept.scores[errors.wrong].sum()), index, image))
    return [image for *_, image in sorted(ranked)[:count]]
