"""Images in folders named by their class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image, ImageOptions
from attnzoo.features.label import Label
from attnzoo.images.image_files import read_header
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import encodable, listed, object_array
from attnzoo.suggest import did_you_mean

COLUMNS = {"image": ("image",), "label": ("label",)}

Labelled = tuple[str, int]
"""Path of an image and number of its class."""


class Config(ImageOptions, FileOptions):
    """Folders with one sub-folder a class; JPEG, PNG, GIF (first frame) and BMP, whatever their suffix."""

    name: Literal["image_folder"] = Field(description="Image files in folders, one sub-folder a class.")
    train: str = Field(description="Folder to learn from.")
    validation: str | None = Field(None, description="Folder to select on. Default: carved from train.")
    test: str | None = Field(None, description="Folder to report on.")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str and labels <int32>[examples], sorted by class and file name.

    Classes are the sub-folders of train by name. Names that start with a dot are passed over; folders inside
    a class folder are searched too. The header of every file is checked; with `on_bad_record: skip` each is
    decoded too, and what cannot be read is passed over. EXIF rotation is not applied.

    Raises:
        UserError: a folder is missing or has no class folders, a class has no image, a class of validation or
            test is not in train, or a file is not an image that can be read; naming the folder or file.
    """
    labels = tuple(folder.name for folder in _class_folders(config.train))
    if len(labels) < 2:
        raise UserError(
            f"{config.train}: one class folder only ({labels[0]!r}); a classifier needs at least 2, one "
            "sub-folder a class."
        )
    train = _split(config.train, labels, config)
    validation = _split(config.validation, labels, config) if config.validation else None
    test = _split(config.test, labels, config) if config.test else None
    return DataSplits(train, validation, test, {"label": Label(names=labels)})


def _split(root: str, labels: tuple[str, ...], config: Config) -> Split:
    records: Iterable[Labelled | BadRecord] = _records(root, labels)
    if config.on_bad_record == "skip":
        records = _decodable(list(records))
    kept = filter_records(records, root, config)
    paths = object_array([path for path, _ in kept])
    return Split({"image": paths, "label": np.array([label for _, label in kept], np.int32)}, root)


def _records(root: str, labels: tuple[str, ...]) -> Iterator[Labelled | BadRecord]:
    for folder in _class_folders(root):
        if folder.name not in labels:
            raise UserError(
                f"{folder}: class {folder.name!r} does not occur in train"
                f"{did_you_mean(folder.name, labels)}; the classes of train are: {listed(labels)}."
            )
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))
        )
        if not files:
            raise UserError(f"{folder}: the class folder has no file in it; add images or remove it.")
        for path in files:
            try:
                _check_name(path)
                read_header(path)
            except BadRecord as bad:
                yield bad
            else:
                yield str(path), labels.index(folder.name)


def _decodable(records: Sequence[Labelled | BadRecord]) -> Iterator[Labelled | BadRecord]:
    """Yields the records, with a bad one in the place of each image that TensorFlow cannot decode."""
    paths = [record[0] for record in records if not isinstance(record, BadRecord)]
    broken = {paths[index]: bad for index, bad in Image().unreadable(paths).items()}
    for record in records:
        yield record if isinstance(record, BadRecord) else broken.get(record[0], record)


def _class_folders(root: str) -> list[Path]:
    if not Path(root).is_dir():
        what = "a file" if Path(root).exists() else "not found"
        raise UserError(
            f"{root}: {what}; expected a folder with one sub-folder a class (relative to {Path.cwd()})."
        )
    try:
        entries = sorted(Path(root).iterdir())
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); a folder is expected.") from None
    folders = [path for path in entries if path.is_dir() and not _hidden(Path(path.name))]
    if not folders:
        raise UserError(
            f"{root}: no sub-folder in it; expected one sub-folder a class with the images inside."
        )
    for folder in folders:
        _check_name(folder)
    return folders


def _check_name(path: Path) -> None:
    """Refuses names that other programs cannot write down.

    Raises:
        BadRecord: the name is not UTF-8 or holds a line break or the like.
    """
    if not encodable(path.name) or not path.name.isprintable():
        what = "the name is not printable UTF-8 text; rename it."
        raise BadRecord(
            str(path).encode("unicode_escape").decode("ascii"), "with a name that is not text", what
        )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
