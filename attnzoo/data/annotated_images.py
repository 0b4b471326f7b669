"""Splits of images with boxes: from what annotation files hold to columns. Imports no TensorFlow at start."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attnzoo.config.base import Problem
from attnzoo.config.sections import FileOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataNote, UserError
from attnzoo.features.boxes import Boxes, BoxOptions
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.image_data_options import ImageOptions, max_pixels
from attnzoo.features.label import read_label, require_known_labels
from attnzoo.images.image_files import read_header
from attnzoo.images.image_headers import ImageHeader
from attnzoo.images.image_inputs import SUFFIXES
from attnzoo.records import class_names
from attnzoo.records.annotations import (
    Annotation,
    BoxCleaner,
    Edges,
    RawObject,
    mapped_names,
    require_classes,
)
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.rows import json_excerpt
from attnzoo.records.text_files import object_array, printable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""Suffixes of images that can be read, in lower case."""
MAX_ABSOLUTE = 1e7
"""Largest coordinate that is read, in pixels."""
_ADVICE = "; rename or leave out the class with data.classes"


class AnnotationOptions(ImageOptions, FileOptions, BoxOptions):
    """Options of data that is read from files of images and of boxes."""

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields classes with a new name that is blank."""
        yield from super().problems(features)
        for name, new in self.classes.items():
            if new is not None and not new.strip():
                yield ("classes",), f"class '{printable(name)}' has an empty new name; give one, or null"


class AnnotatedImage(NamedTuple):
    """An image and its objects, as the files of a data set have them.

    Attributes:
        location: file or record of its objects, for messages.
        path: the image file.
        objects: with edges in pixels of the annotated image, or as fractions of it.
        size: height and width of the annotated image; None where the files do not say.
        are_fractions: whether edges are fractions of the upright image.
    """

    location: str
    path: str
    objects: Sequence[RawObject]
    size: tuple[int, int] | None = None
    are_fractions: bool = False


class Source(NamedTuple):
    """Where the images of a split come from.

    Attributes:
        origin: file or folder, for messages.
        images: each image, or a `BadRecord` for one that cannot be used.
        names: classes that the files declare, in order; None where only objects have them.
    """

    origin: str
    images: Iterable[AnnotatedImage | BadRecord]
    names: tuple[str, ...] | None = None


def load_annotated(
    sources: Mapping[str, Source], options: AnnotationOptions, feature: Feature | None = None
) -> DataSplits:
    """Returns paths <object>[examples] of str and boxes <object>[examples] of `Objects`.

    The classes are those of the feature. If it has none, they are those that train declares, or else those of
    its objects, sorted; after `data.classes`.
    Boxes that are not right are treated by `data.on_bad_box` and counted. Images without objects stay.

    Args:
        sources: split -> source; `train` is required.
        options: options of the data set.
        feature: feature of the boxes; it has classes in the evaluation of a run on other data.

    Raises:
        UserError: an image or annotation cannot be used, an object of validation or test is of a class that
            train does not have, `data.classes` names such a class, or train has no objects.
    """
    splits: dict[str, Split] = {}
    boxes = feature if isinstance(feature, Boxes) else Boxes()
    learns = not boxes.names
    seen: list[str] = []
    for name, source in sources.items():
        cleaner = BoxCleaner(options.on_bad_box, options.classes)
        records: Iterable[_Example | BadRecord] = _examples(source, cleaner, boxes.names, options)
        if options.on_bad_record == "skip":
            records = _mark_undecodable(list(records))
        usable = filter_records(records, source.origin, options)
        cleaner.issue_warnings(source.origin)
        if not usable:
            raise UserError(f"{source.origin}: no images; expected at least one with its objects.")
        seen += source.names or sorted(cleaner.seen)
        if name == "train" and learns:
            boxes = Boxes(names=_learn_names(source, usable, cleaner))
        paths = object_array([path for path, _ in usable])
        column = boxes.column_of([annotation for _, annotation in usable])
        splits[name] = Split({"image": paths, "boxes": column}, source.origin)
    if learns:
        require_classes(options.classes, seen, sources["train"].origin)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), {"boxes": boxes})


_Example = tuple[str, Annotation]


def _examples(
    source: Source, cleaner: BoxCleaner, known: Sequence[str], options: AnnotationOptions
) -> Iterator[_Example | BadRecord]:
    """Yields the images of a split; with `known` classes, objects of others are refused."""
    num_turned, first = 0, ""
    for image in source.images:
        if isinstance(image, BadRecord):
            yield image
            continue
        try:
            objects, header, is_turned = _placed(image, max_pixels(options))
            annotation = cleaner.clean(objects, *header.sides)
            if known:
                require_known_labels(image.location, annotation.labels, known, _ADVICE)
        except BadRecord as bad:
            yield bad
        else:
            if is_turned:
                num_turned, first = num_turned + 1, first or image.location
            yield image.path, annotation
    if num_turned:
        warnings.warn(
            f"{source.origin}: {num_turned:,} annotations are of images as stored, not upright as their EXIF "
            f"data says; their boxes are rotated with the images (first: {first}).",
            DataNote,
            stacklevel=2,
        )


def _placed(image: AnnotatedImage, most: int) -> tuple[Sequence[RawObject], ImageHeader, bool]:
    """Returns the objects in pixels of the upright image, its header, and whether they were rotated.

    Args:
        image: an image and its objects.
        most: pixels of the largest image that is read.
    """
    try:
        header = read_header(image.path, max_pixels=most)
    except BadRecord as bad:
        if image.location == image.path:
            raise
        raise BadRecord(image.location, bad.reason, str(bad)) from None
    height, width = header.sides
    if image.are_fractions:
        return [one._replace(edges=_scaled(one.edges, height, width)) for one in image.objects], header, False
    if image.size is None or image.size == (height, width):
        return image.objects, header, False
    if image.size == (header.height, header.width):
        return [one._replace(edges=_turned(one.edges, header)) for one in image.objects], header, True
    raise BadRecord(
        image.location,
        "of an image of another size",
        f"annotated as {image.size[1]} x {image.size[0]} pixels (width x height), but {image.path} has "
        f"{width} x {height}; annotate that image, or use the one that was annotated.",
    )


def _scaled(edges: Edges, height: int, width: int) -> Edges:
    left, top, right, bottom = edges
    return left * width, top * height, right * width, bottom * height


def _turned(edges: Edges, header: ImageHeader) -> Edges:
    """Returns a box of an image as stored in pixels of the upright image; corners stay in order."""
    left, top, right, bottom = edges
    if header.orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    height, width = header.sides
    if header.orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if header.orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _mark_undecodable(records: Sequence[_Example | BadRecord]) -> Iterator[_Example | BadRecord]:
    """Yields the records, replacing each image that TensorFlow cannot decode with a `BadRecord`."""
    paths = [record[0] for record in records if not isinstance(record, BadRecord)]
    undecodable = {paths[index]: bad for index, bad in Image().unreadable(paths).items()}
    for record in records:
        yield record if isinstance(record, BadRecord) else undecodable.get(record[0], record)


def _learn_names(source: Source, usable: Sequence[_Example], cleaner: BoxCleaner) -> tuple[str, ...]:
    labels = {label for _, annotation in usable for label in annotation.labels}
    if not labels:
        left_out = ", as data.classes leaves all out" if cleaner.seen and cleaner.classes else ""
        raise UserError(f"{source.origin}: none of {len(usable):,} images of train has an object{left_out}.")
    if source.names is None:
        return class_names.sort_names(labels)
    return mapped_names(source.names, cleaner.classes)


def read_class(location: str, value: Any) -> str:
    """Returns the name of a class.

    Raises:
        BadRecord: it is empty, too long, or neither a text nor a whole number.
    """
    return read_label(location, "name", value)


def read_coordinate(location: str, name: str, value: Any) -> float:
    """Returns a coordinate, from a number or its decimal digits.

    Raises:
        BadRecord: it is not a finite number of plausible size.
    """
    number = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not abs(number) <= MAX_ABSOLUTE:
        got = f"'{printable(value)}'" if isinstance(value, str) else json_excerpt(value)
        raise BadRecord(
            location, "without a number", f"{name} must be a number such as 12 or 3.5; got {got}."
        )
    return number


def images_in(folder: Path) -> list[Path]:
    """Returns the image files in a folder and those in it, by their suffixes, sorted; hidden ones are not.

    Images of kinds that cannot be read are among them, so that they are refused and not left out in silence.

    Raises:
        UserError: the folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); a folder of images is expected.")

    found = []
    for path, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(path, name)
            for name in files
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)
