"""Images with boxes in the JSON files of COCO."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import Field

from attnzoo.config.paths import FilePaths, expand, listed, matching, origin_of
from attnzoo.config.sections import files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.data.annotated_images import (
    AnnotatedImage,
    AnnotationOptions,
    Source,
    load_annotated,
    read_class,
    read_coordinate,
)
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.files import read_regular
from attnzoo.records.annotations import RawObject
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import json_excerpt, require_string, require_text
from attnzoo.records.text_files import printable

COLUMNS = {"image": ("image",), "boxes": ("boxes",)}

MAX_BYTES = 4 << 30
"""Size of the largest file that is read; that of COCO's own train split has half a gigabyte."""
LISTS = ("images", "annotations", "categories")
SPLITS = ("train", "validation", "test")


class Config(AnnotationOptions):
    """Files with the lists `images`, `annotations` and `categories`, as COCO has them."""

    name: Literal["coco"] = Field(description="Images with boxes in the JSON files of COCO.")
    train: FilePaths = Field(
        description="JSON file of train, a pattern such as part*.json, or a list of both."
    )
    validation: FilePaths | None = Field(
        None,
        description="JSON files of validation, for selecting a checkpoint. Default: held out from train.",
    )
    test: FilePaths | None = Field(None, description="JSON files of test, for the final evaluation.")
    train_images: FilePaths | None = Field(
        None,
        description="Folder that each `file_name` of train is relative to, or one for each JSON file. "
        "Default: that of the JSON file.",
    )
    validation_images: FilePaths | None = Field(
        None, description="The same for validation. Default: the folder of its JSON file."
    )
    test_images: FilePaths | None = Field(
        None, description="The same for test. Default: the folder of its JSON file."
    )

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the files of the splits and their folders of images."""
        for key, path in files_of_splits(self.train, self.validation, self.test):
            yield from ((key, file) for file in matching(path))
        folders = (self.train_images, self.validation_images, self.test_images)
        for (name, *rest), folder in files_of_splits(*folders):
            yield (f"{name}_images", *rest), folder

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has a file or a folder of images."""
        return key.endswith("_images") or super().is_path(key, text)

    def with_files(self, paths: Sequence[str]) -> Config:
        """Returns the options with another JSON file as train, and the folder of its images if given."""
        if len(paths) > 2:
            raise ValueError("expected a JSON file, and the folder of its images unless that is its own")
        folders = {"train_images": paths[1] if paths[1:] else None, "validation_images": None}
        return self.replaced(train=paths[0], validation=None, test=None, test_images=None, **folders)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the lists of a file, and for its first image."""
        for split in SPLITS:
            for path, folder in self.sources(split):
                if path == file:
                    lists = _parse(file)
                    _categories(file, lists["categories"])
                    _require_images(file, folder, lists["images"], split)
                    return

    def sources(self, split: str) -> list[tuple[str, Path]]:
        """Returns the files of a split, each with the folder of its images.

        Raises:
            UserError: there are several folders, but not one for each file.
        """
        paths, folders = (
            (self.train, self.train_images),
            (self.validation, self.validation_images),
            (self.test, self.test_images),
        )[SPLITS.index(split)]
        files, named = expand(paths), listed(folders)
        if not named:
            return [(file, Path(file).parent) for file in files]
        if len(named) not in (1, len(files)):
            raise UserError(
                f"data.{split}_images: {len(named)} folders for {len(files)} JSON files; name one for all, "
                "or one for each."
            )
        return [(file, Path(named[number % len(named)])) for number, file in enumerate(files)]


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths and boxes in the order of `images`; see `annotated_images.load_annotated`.

    Classes are the categories of train in the order of their ids, which may be any whole numbers, those of
    the first file first; files and splits are matched by name. Crowds (`iscrowd: 1`) are neither learned nor
    counted as missed. Where the `height` and `width` of an image are those of the image as stored, boxes are
    rotated by the EXIF orientation; else they are of the upright image.

    Raises:
        UserError: as `load_annotated`; or a file is not JSON, lacks a list, or names classes twice.
    """
    sources = {}
    for split in SPLITS:
        parts = [_source(path, folder, split) for path, folder in config.sources(split)]
        if parts:
            names = dict.fromkeys(name for part in parts for name in part.names or ())
            images = itertools.chain.from_iterable(part.images for part in parts)
            sources[split] = Source(origin_of([part.origin for part in parts]), images, tuple(names))
    return load_annotated(sources, config, features.get("boxes"))


def _source(path: str, folder: Path, split: str) -> Source:
    lists = _parse(path)
    categories = _categories(path, lists["categories"])
    _require_images(path, folder, lists["images"], split)
    names = tuple(categories[number] for number in sorted(categories))
    return Source(path, _images(path, folder, lists, categories), names)


def _parse(path: str) -> dict[str, list[Any]]:
    """Returns the three lists of a file."""

    def reject_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON, use a number")

    try:
        values = json.loads(read_regular(Path(path), MAX_BYTES), parse_constant=reject_constant)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a JSON file.") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg} at column {error.colno}.") from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path}: not JSON: {what}.") from None
    if not isinstance(values, dict):
        hint = "; results of a detector are such lists" if isinstance(values, list) else ""
        raise UserError(
            f"{path}: expected an object with the lists {', '.join(LISTS)}; got {json_excerpt(values)}{hint}."
        )
    for key in LISTS:
        if not isinstance(values.get(key), list):
            what = "is not a list" if key in values else "is missing"
            raise UserError(f"{path}: {key!r} {what}; expected the lists {', '.join(LISTS)} as in COCO.")
    return {key: values[key] for key in LISTS}


def _categories(path: str, entries: list[Any]) -> dict[int, str]:
    """Returns number -> name of each class."""
    names: dict[int, str] = {}
    for index, entry in enumerate(entries):
        place = f"{path}: categories[{index}]"
        number = _number(place, entry, "id")
        name = read_class(place, entry.get("name"))
        if number in names:
            raise UserError(f"{place}: id {number} occurs twice; give each category its own.")
        if name in names.values():
            raise UserError(f"{place}: name '{printable(name)}' occurs twice; merge the categories.")
        names[number] = name
    return names


def _require_images(path: str, folder: Path, entries: list[Any], split: str) -> None:
    """Refuses a folder that has none of the first images, which is then probably another one."""
    names = [entry["file_name"] for entry in entries[:10] if isinstance(entry, dict) and "file_name" in entry]
    paths = [_image_path(folder, name) for name in names if isinstance(name, str) and name.isprintable()]
    if paths and not any(map(os.path.exists, paths)):
        raise UserError(
            f"{path}: its images are not there (first: {paths[0]}); set data.{split}_images to the folder "
            "that their file names are relative to."
        )


def _image_path(folder: Path, name: str) -> str:
    path = folder / name  # an absolute name stays as it is
    return str(folder / name.replace("\\", "/")) if "\\" in name and not os.path.exists(path) else str(path)


def _images(
    path: str, folder: Path, lists: Mapping[str, list[Any]], categories: Mapping[int, str]
) -> Iterator[AnnotatedImage | BadRecord]:
    objects: dict[int, list[RawObject]] = {}
    problems: dict[int, BadRecord] = {}
    strays: list[BadRecord] = []
    known = {
        entry["id"] for entry in lists["images"] if isinstance(entry, dict) and type(entry.get("id")) is int
    }
    for index, entry in enumerate(lists["annotations"]):
        place = f"{path}: annotations[{index}]"
        try:
            image = _number(place, entry, "image_id")
            if image not in known:
                what = f"image_id {image} is that of no image; add the image or remove the annotation."
                raise BadRecord(place, "of an unknown image", what)
        except BadRecord as bad:
            strays.append(bad)
            continue
        try:
            objects.setdefault(image, []).append(_object(place, entry, categories))
        except BadRecord as bad:
            problems.setdefault(image, bad)
    seen: set[int] = set()
    for index, entry in enumerate(lists["images"]):
        place = f"{path}: images[{index}]"
        try:
            number = _number(place, entry, "id")
            if number in seen:
                raise BadRecord(
                    place, "with an id that occurs twice", f"id {number} occurs twice; give each its own."
                )
            seen.add(number)
            if number in problems:
                raise problems[number]
            file = _file_name(place, entry)
            size = _size(place, entry)
        except BadRecord as bad:
            yield bad
        else:
            location = f"{path}: image {number} ({printable(file)})"
            yield AnnotatedImage(location, _image_path(folder, file), objects.get(number, []), size)
    yield from strays


def _number(location: str, entry: Any, key: str) -> int:
    """Returns the whole number behind a key of an entry."""
    if not isinstance(entry, dict):
        raise BadRecord(
            location, "not an object", f"expected an object such as {{...}}; got {json_excerpt(entry)}."
        )
    value = entry.get(key)
    if type(value) is not int:
        got = json_excerpt(value) if key in entry else "none"
        raise BadRecord(location, "without a number", f"{key!r} must be a whole number; got {got}.")
    return value


def _file_name(location: str, entry: Mapping[str, Any]) -> str:
    name = entry.get("file_name")
    require_string(location, "file_name", name)
    require_text(location, "file_name", str(name))
    if not str(name).isprintable():
        raise BadRecord(
            location, "with an unprintable name", "the file_name is not printable text; rename the file."
        )
    return str(name)


def _size(location: str, entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns height and width as annotated, or None where they are missing or zero."""
    if not entry.get("height") or not entry.get("width"):
        return None
    height, width = _number(location, entry, "height"), _number(location, entry, "width")
    return (height, width) if height > 0 and width > 0 else None


def _object(location: str, entry: Mapping[str, Any], categories: Mapping[int, str]) -> RawObject:
    number = _number(location, entry, "category_id")
    if number not in categories:
        what = f"category_id {number} is that of no category; add the category or remove the annotation."
        raise BadRecord(location, "of an unknown category", what)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        got = json_excerpt(box) if "bbox" in entry else "none"
        raise BadRecord(location, "without a box", f"'bbox' must be [left, top, width, height]; got {got}.")
    if not all(isinstance(value, int | float) for value in box):
        raise BadRecord(
            location, "without a number", f"'bbox' must be four numbers; got {json_excerpt(box)}."
        )
    left, top, width, height = (read_coordinate(location, "'bbox'", value) for value in box)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise BadRecord(
            location, "with a wrong flag", f"'iscrowd' must be 0 or 1; got {json_excerpt(crowd)}."
        )
    return RawObject(location, categories[number], (left, top, left + width, top + height), bool(crowd))
