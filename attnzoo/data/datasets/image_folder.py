"""Images in folders named by their class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from attnzoo.config.sections import ImageOptions
from attnzoo.data.image_files import read_header
from attnzoo.data.text_files import nearest, object_array
from attnzoo.errors import UserError
from attnzoo.info import IMAGE_CLASSIFICATION, DataSplits, Split

TASKS = (IMAGE_CLASSIFICATION,)


class Config(ImageOptions):
    """Folders with one sub-folder a class; JPEG, PNG, GIF (first frame) and BMP, whatever their suffix."""

    name: Literal["image_folder"] = Field(description="Image files in folders, one sub-folder a class.")
    train: str = Field(description="Folder to learn from.")
    validation: str | None = Field(None, description="Folder to select on. Default: carved from train.")
    test: str | None = Field(None, description="Folder to report on.")


def load(config: Config, task: str, seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str and labels <int32>[examples], sorted by class and file name.

    Classes are the sub-folders of train by name. Names that start with a dot are passed over; folders inside
    a class folder are searched too. The header of every file is checked; EXIF rotation is not applied.

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
    train = _split(config.train, labels)
    validation = _split(config.validation, labels) if config.validation else None
    test = _split(config.test, labels) if config.test else None
    return DataSplits(train, validation, test, labels)


def _split(root: str, labels: tuple[str, ...]) -> Split:
    paths: list[str] = []
    targets: list[int] = []
    for folder in _class_folders(root):
        if folder.name not in labels:
            shown = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
            raise UserError(
                f"{folder}: class {folder.name!r} does not occur in train{nearest(folder.name, labels)}; the "
                f"classes of train are: {shown}."
            )
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))
        )
        if not files:
            raise UserError(f"{folder}: the class folder has no file in it; add images or remove it.")
        for path in files:
            read_header(path)
        paths.extend(str(path) for path in files)
        targets.extend([labels.index(folder.name)] * len(files))
    return Split({"image": object_array(paths), "label": np.array(targets, np.int32)}, root)


def _class_folders(root: str) -> list[Path]:
    if not Path(root).is_dir():
        what = "a file" if Path(root).exists() else "not found"
        raise UserError(
            f"{root}: {what}; expected a folder with one sub-folder a class (relative to {Path.cwd()})."
        )
    folders = sorted(path for path in Path(root).iterdir() if path.is_dir() and not _hidden(Path(path.name)))
    if not folders:
        raise UserError(
            f"{root}: no sub-folder in it; expected one sub-folder a class with the images inside."
        )
    return folders


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
