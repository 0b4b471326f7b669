"""Objects in images as boxes with labels, and what is done about boxes that cannot be right.

Imports no TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from attnzoo.errors import DataWarning, UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import join_names, printable
from attnzoo.suggest import did_you_mean

MIN_TOLERANCE, TOLERANCE = 0.01, 2e-6
"""How far a box may be outside without a report, in pixels and as a fraction of the side: files round."""

REASONS = {
    "clipped": "partly outside the image, clipped to it",
    "outside": "outside the image, dropped",
    "empty": "without area, dropped",
    "swapped": "with opposite corners in the wrong order, put in order",
    "repeated": "identical to another one of the same class, dropped",
}
"""What is done about a box -> how messages say it."""

FIELDS = 6
"""Numbers of a box in a batch: left, top, right, bottom as fractions of the canvas, class number, kind."""
CLASS, KIND = 4, 5
"""Where in a box of a batch its class number and its kind are."""
OBJECT, NOTHING, CROWD = 1.0, 0.0, -1.0
"""Kinds of boxes in a batch: an object to find, a filler, and what is neither learned nor missed."""

_ADVICE = "fix it, or set data.on_bad_box: clip"


class Annotation(NamedTuple):
    """The objects of one image.

    Attributes:
        height, width: of the upright image, in pixels.
        boxes: <float32>[n, 4], left, top, right and bottom edge in pixels; the image is from 0 to its size.
        labels: names of the classes.
        crowd: whether the box is of a group or of an object that is too hard to tell (`iscrowd` of COCO,
            `difficult` of VOC): it is neither learned nor counted as missed.
    """

    height: int
    width: int
    boxes: np.ndarray
    labels: tuple[str, ...]
    crowd: tuple[bool, ...]


Edges: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""


class RawObject(NamedTuple):
    """An object as a file has it.

    Attributes:
        location: file and object, for messages.
        label: name of its class in the file.
        edges: left, top, right and bottom in pixels of the upright image.
        is_crowd: see `Annotation`.
    """

    location: str
    label: str
    edges: Edges
    is_crowd: bool = False


class BoxCleaner:
    """Makes annotations of raw objects: maps classes, and drops or corrects boxes and counts these.

    Args:
        policy: `clip`: boxes are clipped to the image, corners in the wrong order are swapped, and boxes
            without area, outside the image or repeated are dropped. `error`: each of these is refused.
        classes: class in the files -> class to learn, or None to leave its objects out.
    """

    def __init__(self, policy: Literal["clip", "error"], classes: Mapping[str, str | None]) -> None:
        self.policy = policy
        self.classes = classes
        self.num_boxes = 0
        self.num_images = 0
        self.counts: dict[str, int] = {}
        self.first: dict[str, str] = {}
        self.seen: set[str] = set()

    def clean(self, objects: Iterable[RawObject], height: int, width: int) -> Annotation:
        """Returns the annotation of an image of `height` x `width` pixels.

        Raises:
            BadRecord: a box is not right and the policy is `error`; names the object.
        """
        self.num_images += 1
        kept: dict[tuple[str, tuple[float, ...]], bool] = {}
        for one in objects:
            self.seen.add(one.label)
            label = self.classes.get(one.label, one.label)
            if label is None:
                continue
            self.num_boxes += 1
            edges = self._cleaned(one, height, width)
            if edges is None:
                continue
            if (label, edges) in kept:
                self._report("repeated", one)
            else:
                kept[label, edges] = one.is_crowd
        boxes = np.array([edges for _, edges in kept], np.float32).reshape(-1, 4)
        return Annotation(height, width, boxes, tuple(label for label, _ in kept), tuple(kept.values()))

    def _cleaned(self, one: RawObject, height: int, width: int) -> tuple[float, ...] | None:
        """Returns the edges, or None for a box that is dropped."""
        left, top, right, bottom = one.edges
        if left > right or top > bottom:
            self._report("swapped", one)
            left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
        if not (left < right and top < bottom):
            self._report("empty", one)
            return None
        clipped = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
        if not (clipped[0] < clipped[2] and clipped[1] < clipped[3]):
            self._report("outside", one)
            return None
        moved = (
            max(abs(clipped[0] - left), abs(clipped[2] - right)) > max(MIN_TOLERANCE, TOLERANCE * width),
            max(abs(clipped[1] - top), abs(clipped[3] - bottom)) > max(MIN_TOLERANCE, TOLERANCE * height),
        )
        if any(moved):
            self._report("clipped", one, f"; the image has {width} x {height} pixels (width x height)")
        edges = np.array(clipped, np.float32)
        if not (edges[0] < edges[2] and edges[1] < edges[3]):  # thinner than float32 can tell
            self._report("empty", one)
            return None
        return tuple(edges.tolist())

    def _report(self, reason: str, one: RawObject, more: str = "") -> None:
        if self.policy == "error":
            what = REASONS[reason].partition(",")[0]
            edges = " ".join(f"{edge:.6g}" for edge in one.edges)
            raise BadRecord(
                one.location,
                f"with a box {what}",
                f"a box of '{printable(one.label)}' {what}: left, top, right, bottom are {edges}{more}; "
                f"{_ADVICE}.",
            )
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, one.location)

    def issue_warnings(self, origin: str) -> None:
        """Issues one `DataWarning` with the number of boxes of each reason, if there are any."""
        if not self.counts:
            return
        reasons = "; ".join(
            f"{count:,} {REASONS[reason]} (first: {self.first[reason].removeprefix(f'{origin}: ')})"
            for reason, count in self.counts.items()
        )
        warnings.warn(
            f"{origin}: {sum(self.counts.values()):,} of {self.num_boxes:,} boxes corrected or dropped: "
            f"{reasons}.",
            DataWarning,
            stacklevel=2,
        )


def require_classes(classes: Mapping[str, str | None], known: Iterable[str], origin: str) -> None:
    """Refuses a mapping of classes that the data does not have.

    Args:
        classes: `data.classes`.
        known: names of the classes in the files of all splits.
        origin: file of train, for messages.

    Raises:
        UserError: naming the first class that is unknown.
    """
    known = list(dict.fromkeys(known))
    for name in classes:
        if name not in known:
            raise UserError(
                f"{origin}: data.classes names the class '{printable(name)}', which the data does not have"
                f"{did_you_mean(name, known)}; it has: {join_names(known)}."
            )


def mapped_names(names: Sequence[str], classes: Mapping[str, str | None]) -> tuple[str, ...]:
    """Returns the classes to learn, in the order of the first class that becomes each.

    Examples:
        >>> mapped_names(["cat", "car", "truck"], {"car": "vehicle", "truck": "vehicle", "cat": None})
        ('vehicle',)
    """
    return tuple(dict.fromkeys(_mapped(names, classes)))


def _mapped(names: Iterable[str], classes: Mapping[str, str | None]) -> Iterator[str]:
    for name in names:
        new = classes.get(name, name)
        if new is not None:
            yield new
