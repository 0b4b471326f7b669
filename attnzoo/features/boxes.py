"""Objects in images: boxes with class labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config.sections import DataOptions
from attnzoo.errors import DataWarning
from attnzoo.features.feature import Column, Feature
from attnzoo.features.image_data_options import ImageOptions, sides_of
from attnzoo.features.label import class_difference, imbalance, name_problems, require_classes
from attnzoo.features.packing import split_rows, take
from attnzoo.images.image_headers import MAX_PIXELS
from attnzoo.images.letterbox import Resize, to_canvas
from attnzoo.records import class_names
from attnzoo.records.annotations import CLASS, CROWD, FIELDS, KIND, OBJECT, Annotation

with epy.lazy_imports():
    import tensorflow as tf

    from attnzoo.images import image_statistics

MAX_BOXES = 1000
"""Most boxes of an image in a batch."""
SMALL, MEDIUM = 32**2, 96**2
"""Largest areas of small and medium boxes in pixels of the image, as COCO counts them."""
TINY_SIDE = 4
"""Sides on the canvas, in pixels, that are too small to find."""
QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "greatest": 1.0}
PLACES = 3
"""The canvas is divided into so many rows and columns to count where objects are."""


class BoxOptions(DataOptions):
    """Options of data with boxes."""

    classes: dict[str, str | None] = Field(
        {},
        description="Renames classes, {car: vehicle, truck: vehicle}: several may become one. The objects of "
        "a class that becomes null are left out, and their images stay.",
    )
    on_bad_box: Literal["clip", "error"] = Field(
        "clip",
        description="clip: boxes are clipped to the image, corners in the wrong order are put in order, and "
        "boxes without area, outside the image or repeated are dropped; all are counted. error: the first of "
        "these ends the command.",
    )


class Objects(NamedTuple):
    """The objects of one image: a value of a column.

    Attributes:
        height, width: of the upright image, in pixels.
        boxes: <float32>[n, 4], left, top, right and bottom edge in pixels.
        labels: <int32>[n], class numbers.
        crowd: <bool>[n], see `records.annotations.Annotation`.
    """

    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray


class Boxes(Feature):
    """Objects in images: a column <object>[examples] of `Objects`.

    A batch has <float32>[batch, max_boxes, 6]: left, top, right and bottom edge as fractions of the canvas, 0
    to 1, the class number, and the kind: 1 an object, 0 nothing, -1 a crowd, which is neither learned nor
    counted as missed. The canvas is the image as models see it.

    Attributes:
        names: class names in the order of their numbers.
        max_boxes: boxes of an image in a batch, the most that an image of train has.
        canvas: (height, width) of the canvas in pixels; empty before learning.
        resize: how images are put on it, see `images.letterbox`.
    """

    is_augmented: ClassVar[bool] = True
    Options: ClassVar[type[DataOptions]] = BoxOptions

    kind: Literal["boxes"] = "boxes"
    names: tuple[str, ...] = ()
    max_boxes: int = 1
    canvas: tuple[int, ...] = ()
    resize: Resize = "stretch"

    def column_of(self, annotations: Sequence[Annotation]) -> Column:
        """Returns the column of annotations whose labels are all among `names`."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return objects_column(
            [
                Objects(
                    one.height,
                    one.width,
                    np.asarray(one.boxes, np.float32).reshape(-1, 4),
                    np.array([numbers[label] for label in one.labels], np.int32),
                    np.array(one.crowd, bool),
                )
                for one in annotations
            ]
        )

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Boxes:
        """Learns the canvas, which is that of the images, and the number of boxes."""
        if not isinstance(options, ImageOptions):
            raise ValueError(
                f"Data set '{options.name}' has no image options; expected a subclass of ImageOptions."
            )
        (column,) = columns
        canvas = (
            image_statistics.default_size([(one.height, one.width) for one in column])
            if options.image_size is None
            else sides_of(options.image_size)
        )
        counts = np.array([len(one.boxes) for one in column])
        if counts.max() > MAX_BOXES:
            warnings.warn(
                f"{origin}: {np.count_nonzero(counts > MAX_BOXES):,} images have more than {MAX_BOXES:,} "
                f"boxes (up to {counts.max():,}); only the largest {MAX_BOXES:,} of each are learned: crop "
                "the images.",
                DataWarning,
                stacklevel=2,
            )
        max_boxes = int(np.clip(counts.max(), 1, MAX_BOXES))
        return self.model_copy(update={"canvas": canvas, "resize": options.resize, "max_boxes": max_boxes})

    def encode(self, column: Column) -> Column:
        """Returns <object>[examples] of the boxes of each image as in a batch, <float32>[n, 6]."""
        counts = [len(one.boxes) for one in column]
        height, width = (np.repeat([one[side] for one in column], counts) for side in (0, 1))
        rows = np.empty((sum(counts), FIELDS), np.float32)
        pixels = np.concatenate([one.boxes for one in column]).astype(np.float64)
        rows[:, :CLASS] = to_canvas(pixels, height, width, self._canvas, self.resize)
        rows[:, CLASS] = np.concatenate([one.labels for one in column])
        rows[:, KIND] = np.where(np.concatenate([one.crowd for one in column]), CROWD, OBJECT)
        return objects_column(np.split(rows, np.cumsum(counts)[:-1]))

    @property
    def _canvas(self) -> tuple[int, int]:
        height, width = self.canvas
        return height, width

    @property
    def host_spec(self) -> tf.TensorSpec:
        """Specification of the boxes of a batch."""
        return tf.TensorSpec([None, self.max_boxes, FIELDS], tf.float32)

    def host_batch(self, encoded: Column, indices: np.ndarray, length: int | None) -> np.ndarray:
        """Returns <float32>[batch, max_boxes, 6]; where an image has more boxes, the largest are kept."""
        batch = np.zeros((len(indices), self.max_boxes, FIELDS), np.float32)
        for row, boxes in zip(batch, encoded[indices], strict=True):
            if len(boxes) > self.max_boxes:
                area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
                order = np.lexsort((-area, boxes[:, KIND] == CROWD))
                boxes = boxes[np.sort(order[: self.max_boxes])]
            row[: len(boxes)] = boxes
        return batch

    def graph_batch(self, encoded: Column) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the identity: `host_batch` has prepared all."""
        return lambda boxes: boxes

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns the objects of each class, and how many, how large and where they are.

        `objects` has the `images` with and `without` objects, the `objects` (small, medium and large by their
        area in pixels of the image as in COCO), and the `crowds`; `per_image` and `sides` (square root of
        the area on the canvas, in pixels) are quantiles, `places` the fractions of the objects whose center
        is in each of three rows and columns of the canvas.
        """
        boxes = np.concatenate([rows[rows[:, KIND] == OBJECT] for rows in encoded])  # [objects, 6]
        areas = np.concatenate([_areas(one) for one in column])
        counts = np.array([np.count_nonzero(~one.crowd) for one in column])
        centers = np.stack([boxes[:, [1, 3]].mean(axis=1), boxes[:, [0, 2]].mean(axis=1)])  # [2, objects]
        row, column_of_place = np.clip((PLACES * centers).astype(np.int64), 0, PLACES - 1)
        places = np.bincount(PLACES * row + column_of_place, minlength=PLACES**2).reshape(PLACES, PLACES)
        height, width = self._canvas
        sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * width * (boxes[:, 3] - boxes[:, 1]) * height)
        return {
            "labels": dict(zip(self.names, self._counts(encoded).tolist(), strict=True)),
            "objects": {
                "images": int(np.count_nonzero(counts)),
                "without": int(np.count_nonzero(counts == 0)),
                "objects": len(boxes),
                "small": int(np.count_nonzero(areas < SMALL)),
                "medium": int(np.count_nonzero((areas >= SMALL) & (areas < MEDIUM))),
                "large": int(np.count_nonzero(areas >= MEDIUM)),
                "crowds": sum(int(np.count_nonzero(one.crowd)) for one in column),
            },
            "per_image": {name: _quantiles(counts)},
            "sides": {name: _quantiles(sides)} if len(sides) else {},
            "places": {name: (places / max(1, len(boxes))).round(4).tolist()},
        }

    def _counts(self, encoded: Column) -> np.ndarray:
        """Returns the number of objects of each class, <int64>[classes], without crowds."""
        numbers = np.concatenate([rows[rows[:, KIND] == OBJECT, CLASS] for rows in encoded])
        return np.bincount(numbers.astype(np.int64), minlength=len(self.names))

    def difference(self, declared: Feature) -> str | None:
        """Returns that the classes differ."""
        names = declared.names if isinstance(declared, type(self)) else ()
        return None if names == self.names else class_difference(names, self.names)

    def summary(self, name: str) -> str:
        """Returns the number of classes and the most boxes of an image."""
        return f"{len(self.names)} classes, up to {self.max_boxes} boxes an image"

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line per split with the number of objects per class, if train or test is imbalanced."""
        return imbalance(self.names, {name: self._counts(column) for name, column in encoded.items()})

    def data_notes(self, encoded: Mapping[str, Column]) -> Iterator[str]:
        """Yields classes without objects, and objects that become too small to find."""
        yield from class_names.class_notes(
            self.names, {name: self._counts(column) for name, column in encoded.items()}
        )
        boxes = np.concatenate(list(encoded["train"]))
        height, width = self._canvas
        sides = np.minimum((boxes[:, 2] - boxes[:, 0]) * width, (boxes[:, 3] - boxes[:, 1]) * height)
        tiny = int(np.count_nonzero(sides < TINY_SIDE))
        if tiny:
            yield (
                f"{tiny:,} of {len(sides):,} boxes of train have a side of fewer than {TINY_SIDE} pixels in "
                f"images of {height} x {width} (height x width), too few to be found; use a larger "
                "data.image_size."
            )

    def strata(self, column: Column) -> np.ndarray:
        """Returns the number of the rarest class of each image, or the number of classes for none."""
        present = np.zeros((len(column), len(self.names)), bool)
        for row, one in zip(present, column, strict=True):
            row[one.labels] = True
        order = np.argsort(present.sum(axis=0), kind="stable")  # rarest first
        return np.where(present.any(axis=1), order[present[:, order].argmax(axis=1)], len(self.names))

    def pack(self, column: Column) -> dict[str, np.ndarray]:
        """Returns the height, width and number of boxes of each image, and all boxes one after the other."""
        sizes = [(one.height, one.width, len(one.boxes)) for one in column]
        return {
            "sizes": np.array(sizes, np.int64).reshape(-1, 3),
            "boxes": np.concatenate([one.boxes for one in column]),
            "labels": np.concatenate([one.labels for one in column]),
            "crowd": np.concatenate([one.crowd for one in column]),
        }

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the objects that `pack` has packed."""
        sizes, labels = take(arrays, "sizes", np.int64, 3), take(arrays, "labels", np.int32)
        boxes = take(arrays, "boxes", np.float32, 4)
        require_classes(labels, self.names)
        if sizes[:, :2].min(initial=1) < 1 or not np.isfinite(boxes).all():
            raise ValueError("expected sizes of 1 or more and finite boxes")
        counts = sizes[:, 2]
        parts = (split_rows(part, counts) for part in (boxes, labels, take(arrays, "crowd", np.bool_)))
        rows = zip(sizes[:, :2].tolist(), *parts, strict=True)
        return objects_column([Objects(*size, *objects) for size, *objects in rows])

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields the size of each image, and its boxes, labels and crowds."""
        for one in column:
            yield np.array([one.height, one.width, len(one.boxes)], np.int64).tobytes()
            yield b"".join(np.ascontiguousarray(values).tobytes() for values in one[2:])

    def problems(self, name: str) -> Iterator[str]:
        """Yields an invalid number of classes or boxes, or an invalid canvas."""
        yield from name_problems(name, self.names)
        if not 1 <= self.max_boxes <= MAX_BOXES:
            yield f"{name}.max_boxes: {self.max_boxes}"
        if len(self.canvas) != 2 or min(self.canvas) < 1 or self.canvas[0] * self.canvas[1] > MAX_PIXELS:
            yield f"{name}.canvas: {self.canvas}"


def objects_column(values: Sequence[Any]) -> Column:
    """Returns an array <object>[len(values)], whatever the values are."""
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column


def _areas(one: Objects) -> np.ndarray:
    boxes = one.boxes[~one.crowd].astype(np.float64)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {name: round(float(np.quantile(values, fraction)), 1) for name, fraction in QUANTILES.items()}
