"""Which detections are correct: matching with true objects as the COCO evaluation does it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnzoo.features.boxes import Objects
from attnzoo.tasks.detection_decoding import Detections

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Range of areas (square pixels of the original image) -> smallest and largest, both included."""
MAX_PER_CLASS = 100
"""Detections per image and class that count, best first."""
_MAX_ELEMENTS = 1 << 22
"""Size of the arrays of one step of the matching."""


@dataclasses.dataclass(frozen=True)
class MatchTable:
    """All detections of a split, best first, and which of them are correct.

    A detection is correct if it is matched with an object of its class. It is ignored, neither correct nor
    wrong, if it is matched with a crowd or with an object outside the range of areas, or if it is not matched
    and outside the range itself.

    Attributes:
        images: <int64>[detections], number of the image.
        labels: <int64>[detections], class number.
        ranks: <int64>[detections], 0 for the best of its class in its image.
        scores: <float32>[detections], descending.
        correct: <bool>[areas, thresholds, detections].
        ignored: <bool>[areas, thresholds, detections].
        positives: <int64>[areas, images, classes], number of objects to be found.

    Reference: pycocotools, `COCOeval.evaluateImg`, https://github.com/cocodataset/cocoapi
    """

    images: np.ndarray
    labels: np.ndarray
    ranks: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    positives: np.ndarray

    @property
    def num_images(self) -> int:
        """Number of images, with and without detections."""
        return self.positives.shape[1]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.positives.shape[2]


class _Boxes(NamedTuple):
    """Boxes of all images, ordered by image and class; a group has those of one class in one image."""

    groups: np.ndarray  # <int64>[boxes]
    ranks: np.ndarray  # <int64>[boxes], position in the group
    boxes: np.ndarray  # <float64>[boxes, 4]
    values: np.ndarray  # [boxes], scores of detections, crowd of objects


def match(detections: Sequence[Detections], objects: Sequence[Objects], num_classes: int) -> MatchTable:
    """Matches detections with objects: the best detection first, each with the object it overlaps most.

    Args:
        detections: of each image.
        objects: of each image.
        num_classes: number of classes.

    Examples:
        >>> box = np.array([[0, 0, 8, 8]], np.float32)
        >>> detections = Detections(box, np.array([0.9], np.float32), np.array([0], np.int32))
        >>> objects = Objects(16, 16, box, np.array([0], np.int32), np.array([False]))
        >>> bool(match([detections], [objects], num_classes=2).correct[0].all())
        True
    """
    predicted = _in_groups(
        [one.boxes for one in detections],
        [one.labels for one in detections],
        [-one.scores for one in detections],
        num_classes,
    )
    kept = predicted.ranks < MAX_PER_CLASS
    predicted = _Boxes(*(values[kept] for values in predicted))
    true = _in_groups(
        [one.boxes for one in objects],
        [one.labels for one in objects],
        [np.zeros(len(one.labels)) for one in objects],
        num_classes,
        [one.crowd for one in objects],
    )
    correct, ignored = _match_groups(predicted, true)
    outside = _outside(_areas(predicted.boxes))[:, None]  # [areas, 1, detections]
    ignored |= ~correct & outside
    order = np.lexsort((predicted.ranks, predicted.groups // num_classes, predicted.values))
    return MatchTable(
        images=predicted.groups[order] // num_classes,
        labels=predicted.groups[order] % num_classes,
        ranks=predicted.ranks[order],
        scores=-predicted.values[order],
        correct=correct[..., order],
        ignored=ignored[..., order],
        positives=_count_positives(true, len(objects), num_classes),
    )


def overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of boxes; over the area of the first box for crowds.

    Args:
        boxes: <float64>[..., 4], left, top, right, bottom.
        others: <float64>[..., 4], broadcast with `boxes`.
        crowd: <bool>[...], whether each of `others` is a crowd.

    Examples:
        >>> overlaps(np.array([0.0, 0, 2, 2]), np.array([[1.0, 0, 3, 2]]), np.array([False])).round(3)
        array([0.333])
    """
    low, high = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    intersection = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = _areas(boxes)
    union = np.where(crowd, areas, areas + _areas(others) - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=intersection > 0.0)


def _in_groups(boxes, labels, keys, num_classes: int, values=None) -> _Boxes:
    """Returns boxes ordered by image, class and key, in a stable order."""
    images = np.repeat(np.arange(len(boxes)), [len(one) for one in boxes])
    groups = images * num_classes + _joined(labels, np.int64)
    flat_keys = _joined(keys, np.float64)
    order = np.lexsort((flat_keys, groups))
    groups = groups[order]
    starts = np.searchsorted(groups, groups)  # first box of each group
    return _Boxes(
        groups,
        np.arange(len(groups)) - starts,
        _joined(boxes, np.float64).reshape(-1, 4)[order],
        (flat_keys if values is None else _joined(values, bool))[order],
    )


def _joined(arrays, dtype) -> np.ndarray:
    return (
        np.concatenate([np.asarray(array, dtype) for array in arrays]) if len(arrays) else np.zeros(0, dtype)
    )


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _outside(areas: np.ndarray) -> np.ndarray:
    """Returns <bool>[ranges, ...], which areas are outside of each range."""
    return np.stack([(areas < low) | (areas > high) for low, high in AREAS.values()])


def _count_positives(true: _Boxes, num_images: int, num_classes: int) -> np.ndarray:
    wanted = ~_outside(_areas(true.boxes)) & ~true.values  # [areas, objects]
    counts = [np.bincount(true.groups[one], minlength=num_images * num_classes) for one in wanted]
    return np.stack(counts).reshape(len(AREAS), num_images, num_classes)


def _match_groups(predicted: _Boxes, true: _Boxes) -> tuple[np.ndarray, np.ndarray]:
    """Returns which detections are correct and which match something ignored, [areas, thresholds, boxes]."""
    shape = (len(AREAS), len(IOU_THRESHOLDS), len(predicted.groups))
    correct, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    names, starts, counts = np.unique(true.groups, return_index=True, return_counts=True)
    first, end = (np.searchsorted(predicted.groups, names, side) for side in ("left", "right"))
    order = np.argsort(counts, kind="stable")  # groups of similar sizes need little padding
    order = order[(end - first)[order] > 0]
    while len(order):
        most = counts[order]
        elements = np.arange(1, len(order) + 1) * most * len(AREAS) * len(IOU_THRESHOLDS)
        chunk = order[: max(1, int(np.searchsorted(elements, _MAX_ELEMENTS)))]
        order = order[len(chunk) :]
        columns = np.arange(counts[chunk].max())
        valid = columns < counts[chunk, None]  # [groups, objects]
        objects = np.where(valid, starts[chunk, None] + columns, 0)
        step = _Step(true.boxes[objects], true.values[objects], valid)
        for rank in range((end - first)[chunk].max()):
            active = np.flatnonzero((end - first)[chunk] > rank)
            rows = first[chunk[active]] + rank
            correct[..., rows], ignored[..., rows] = step.take(active, predicted.boxes[rows])
    return correct, ignored


class _Step:
    """Matches one detection of each of several groups at a time.

    Args:
        boxes: <float64>[groups, objects, 4].
        crowd: <bool>[groups, objects].
        valid: <bool>[groups, objects], False for padding.
    """

    def __init__(self, boxes: np.ndarray, crowd: np.ndarray, valid: np.ndarray) -> None:
        self.boxes, self.crowd, self.valid = boxes, crowd, valid
        outside = _outside(_areas(boxes)) | crowd  # [areas, groups, objects]
        self.ignored = np.moveaxis(outside, 0, 1)[:, :, None]  # [groups, areas, 1, objects]
        groups, count = valid.shape
        self.taken = np.zeros((groups, len(AREAS), len(IOU_THRESHOLDS), count), bool)

    def take(self, active: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns whether each box is correct and ignored, [areas, thresholds, boxes].

        Args:
            active: <int>[boxes], group of each box.
            boxes: <float64>[boxes, 4].
        """
        crowd, ignored, taken = self.crowd[active], self.ignored[active], self.taken[active]
        iou = np.where(self.valid[active], overlaps(boxes[:, None], self.boxes[active], crowd), -1.0)
        free = ~taken | crowd[:, None, None]  # a crowd can be matched more than once
        possible = free & (iou[:, None, None] >= np.minimum(IOU_THRESHOLDS, 1.0 - 1e-10)[:, None])
        preferred = possible & ~ignored
        pool = np.where(preferred.any(axis=-1, keepdims=True), preferred, possible)
        values = np.where(pool, iou[:, None, None], -1.0)  # [boxes, areas, thresholds, objects]
        best = values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)[..., None]  # the last of equal ones
        matched = np.take_along_axis(pool, best, axis=-1)
        np.put_along_axis(taken, best, matched | np.take_along_axis(taken, best, axis=-1), axis=-1)
        self.taken[active] = taken
        matches_ignored = matched & np.take_along_axis(np.broadcast_to(ignored, pool.shape), best, axis=-1)
        correct = matched & ~matches_ignored
        return np.moveaxis(correct[..., 0], 0, -1), np.moveaxis(matches_ignored[..., 0], 0, -1)


@dataclasses.dataclass(frozen=True)
class SplitDetections:
    """The detections of a split, with its true objects.

    Attributes:
        detections: of each image.
        objects: of each image.
        names: of the classes.
    """

    detections: Sequence[Detections]
    objects: Sequence[Objects]
    names: tuple[str, ...]

    @functools.cached_property
    def table(self) -> MatchTable:
        """The result of `match`."""
        return match(self.detections, self.objects, len(self.names))
