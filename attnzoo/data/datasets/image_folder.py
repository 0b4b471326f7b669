"""Images in one folder per class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions, files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.image_data_options import ImageOptions, max_pixels
from attnzoo.features.label import Label
from attnzoo.images.image_files import read_header
from attnzoo.images.image_folders import ClassFolders, check_name, is_split, require_classes
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import join_names, object_array

COLUMNS = {"image": ("image",), "label": ("label",)}

Labeled = tuple[str, int]
"""(path of an image, number of its class)."""


class Config(ImageOptions, FileOptions):
    """Folders with one subfolder per class; JPEG, PNG, WebP, GIF (first frame) or BMP files of any suffix."""

    name: Literal["image_folder"] = Field(description="Image files in folders, one subfolder per class.")
    train: str = Field(description="Training folder.")
    validation: str | None = Field(
        None, description="Validation folder, for selecting a checkpoint. Default: held out from train."
    )
    test: str | None = Field(None, description="Test folder, for the final evaluation.")

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the folder of each split."""
        return files_of_splits(self.train, self.validation, self.test)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks whether a folder has class folders."""
        classes = ClassFolders(file)
        if file == self.train:
            require_classes(classes)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str and labels <int32>[examples], sorted by class and file name.

    The classes are those of the feature, or if it has none the subfolders of train, sorted by name. Class
    folders are searched recursively, following links. Files and folders whose names show that they are not
    images are skipped and counted. The header of every file is checked; with `on_bad_record: skip` every
    image is also decoded, and unreadable files are skipped. JPEG files are rotated by their EXIF orientation.

    Raises:
        UserError: a folder is missing or has no class folders, the folders of train look like splits, a class
            of train has no images, a class of validation or test is not in train, or a file is not a readable
            image; names the folder or file.
    """
    classes = ClassFolders(config.train)
    label = features["label"]
    labels = label.names if isinstance(label, Label) else ()
    if labels:
        train = _split(classes, labels, config)
    else:
        require_classes(classes)
        labels = class_names.sort_names(classes.names)
        train = _split(classes, labels, config)
        _require_images(classes, train, labels)
    validation, test = (
        _split(ClassFolders(folder), labels, config) if folder else None
        for folder in (config.validation, config.test)
    )
    return DataSplits(train, validation, test, {"label": Label(names=labels)})


def _require_images(classes: ClassFolders, train: Split, labels: tuple[str, ...]) -> None:
    present = set(train.column("label").tolist())
    for number, name in enumerate(labels):
        if number not in present:
            folder = classes.folders[name][0]
            raise UserError(f"{folder}: the class folder has no images; add some or remove it.")


def _split(classes: ClassFolders, labels: tuple[str, ...], config: Config) -> Split:
    """Reads a split with the classes of train."""
    records: Iterable[Labeled | BadRecord] = _records(classes, labels, config)
    if config.on_bad_record == "skip":
        records = _mark_undecodable(list(records))
    usable = filter_records(records, classes.root, config)
    classes.note()
    paths = object_array([path for path, _ in usable])
    return Split({"image": paths, "label": np.array([label for _, label in usable], np.int32)}, classes.root)


def _records(classes: ClassFolders, labels: tuple[str, ...], config: Config) -> Iterator[Labeled | BadRecord]:
    for name in classes.names:
        files = classes.files(name)
        if files and name not in labels:
            _reject_class(classes.folders[name][0], name, labels)
        for path in files:
            try:
                check_name(path)
                read_header(path, max_pixels=max_pixels(config))
            except BadRecord as bad:
                yield bad
            else:
                yield str(path), labels.index(name)


def _reject_class(folder: Path, name: str, labels: tuple[str, ...]) -> NoReturn:
    hint, known = class_names.spelling_hint(name, labels), join_names(labels)
    if is_split(name):
        hint = " and is named like a split; if it is one, name it in the config instead of its parent folder"
    raise UserError(
        f"{folder}: class {name!r} does not occur in train{hint}; the classes of train are: {known}."
    )


def _mark_undecodable(records: Sequence[Labeled | BadRecord]) -> Iterator[Labeled | BadRecord]:
    """Yields the records, replacing each image that TensorFlow cannot decode with a `BadRecord`."""
    paths = [record[0] for record in records if not isinstance(record, BadRecord)]
    undecodable = {paths[index]: bad for index, bad in Image().unreadable(paths).items()}
    for record in records:
        yield record if isinstance(record, BadRecord) else undecodable.get(record[0], record)
