"""Images in folders named by their class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image, ImageOptions
from attnzoo.features.label import Label
from attnzoo.images.image_files import read_header
from attnzoo.images.image_folders import ClassFolders, check_name, is_split, require_classes
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import listed, object_array

COLUMNS = {"image": ("image",), "label": ("label",)}

Labeled = tuple[str, int]
"""Path of an image and number of its class."""


class Config(ImageOptions, FileOptions):
    """Folders with one sub-folder a class; JPEG, PNG, WebP, GIF (first frame), BMP, whatever their suffix."""

    name: Literal["image_folder"] = Field(description="Image files in folders, one sub-folder a class.")
    train: str = Field(description="Folder with the training images.")
    validation: str | None = Field(
        None, description="Folder with the validation images. Default: split off from train."
    )
    test: str | None = Field(None, description="Folder with the test images.")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str and labels <int32>[examples], sorted by class and file name.

    Classes are the sub-folders of train by name; folders inside a class folder are searched too, and links
    are followed. Files and folders that are plainly no images by their names are passed over and counted. The
    header of every file is checked; with `on_bad_record: skip` each is decoded too, and what cannot be read
    is passed over. JPEG files are turned upright as their EXIF data says.

    Raises:
        UserError: a folder is missing or has no class folders, the folders of train are splits, a class of
            train has no image, a class of validation or test is not in train, or a file is not an image that
            can be read; naming the folder or file.
    """
    classes = ClassFolders(config.train)
    require_classes(classes)
    labels = class_names.in_order(classes.names)
    train = _split(classes, labels, config)
    _require_images(classes, train, labels)
    validation, test = (
        _split(ClassFolders(folder), labels, config) if folder else None
        for folder in (config.validation, config.test)
    )
    return DataSplits(train, validation, test, {"label": Label(names=labels)})


def _require_images(classes: ClassFolders, train: Split, labels: tuple[str, ...]) -> None:
    found = set(train.column("label").tolist())
    for number, name in enumerate(labels):
        if number not in found:
            folder = classes.folders[name][0]
            raise UserError(f"{folder}: the class folder has no image in it; add images or remove it.")


def _split(classes: ClassFolders, labels: tuple[str, ...], config: Config) -> Split:
    """Reads a split; `labels` are the classes of train."""
    records: Iterable[Labeled | BadRecord] = _records(classes, labels)
    if config.on_bad_record == "skip":
        records = _decodable(list(records))
    kept = filter_records(records, classes.root, config)
    classes.note()
    paths = object_array([path for path, _ in kept])
    return Split({"image": paths, "label": np.array([label for _, label in kept], np.int32)}, classes.root)


def _records(classes: ClassFolders, labels: tuple[str, ...]) -> Iterator[Labeled | BadRecord]:
    for name in classes.names:
        files = classes.files(name)
        if files and name not in labels:
            _refuse_class(classes.folders[name][0], name, labels)
        for path in files:
            try:
                check_name(path)
                read_header(path)
            except BadRecord as bad:
                yield bad
            else:
                yield str(path), labels.index(name)


def _refuse_class(folder: Path, name: str, labels: tuple[str, ...]) -> NoReturn:
    hint = class_names.hint(name, labels)
    if is_split(name):
        hint = ", and is named like a split: if it is one, name it in the config, not the folder around it"
    raise UserError(
        f"{folder}: class {name!r} does not occur in train{hint}; the classes of train are: {listed(labels)}."
    )


def _decodable(records: Sequence[Labeled | BadRecord]) -> Iterator[Labeled | BadRecord]:
    """Yields the records, with a bad one in the place of each image that TensorFlow cannot decode."""
    paths = [record[0] for record in records if not isinstance(record, BadRecord)]
    broken = {paths[index]: bad for index, bad in Image().unreadable(paths).items()}
    for record in records:
        yield record if isinstance(record, BadRecord) else broken.get(record[0], record)
