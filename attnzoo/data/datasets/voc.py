"""Images with boxes in folders as of Pascal VOC: Annotations, JPEGImages and ImageSets/Main."""

from __future__ import annotations

import itertools
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from attnzoo.config.paths import FilePaths, expand, matching, origin_of
from attnzoo.config.sections import files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.data.annotated_images import (
    IMAGE_SUFFIXES,
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
from attnzoo.records.text_files import printable, read_lines
from attnzoo.suggest import did_you_mean

COLUMNS = {"image": ("image",), "boxes": ("boxes",)}

LISTS = Path("ImageSets", "Main")
EVERY = "all"
"""Name of the split of all annotations, where there is no such list."""
MAX_XML_BYTES = 16 << 20
EDGES = ("xmin", "ymin", "xmax", "ymax")


class Config(AnnotationOptions):
    """A folder with one XML file an image, as Pascal VOC, LabelImg and CVAT write it."""

    name: Literal["voc"] = Field(
        description="Images with boxes in folders as of Pascal VOC: Annotations, JPEGImages, ImageSets."
    )
    folder: str = Field(description="Folder with the folders of annotations, images and lists.")
    train: FilePaths = Field(
        "train",
        description="Training split: the name of a list in ImageSets/Main, a file with an image name in each "
        "line (.txt), all for every annotation, or a list of these.",
    )
    validation: FilePaths | None = Field(
        None, description="Validation split, for selecting a checkpoint. Default: held out from train."
    )
    test: FilePaths | None = Field(None, description="Test split, for the final evaluation.")
    annotations: str = Field("Annotations", description="Folder of the XML files, in data.folder.")
    images: str = Field("JPEGImages", description="Folder of the images, in data.folder.")
    coordinates: Literal["edges", "pixels"] = Field(
        "edges",
        description="What xmin to ymax are. edges: those of the box, as LabelImg and CVAT write them. "
        "pixels: its first and last pixels, counted from 1, as in the data sets of Pascal VOC itself.",
    )

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the folder, and the file of each list."""
        yield ("folder",), self.folder
        for key, split in files_of_splits(self.train, self.validation, self.test):
            for path in (_list_file(self, name) for name in matching(split)):
                if path is not None:
                    yield key, str(path)

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has the folder, or the file of a list."""
        return key == "folder" or (super().is_path(key, text) and text.endswith(".txt"))

    def with_files(self, paths: Sequence[str]) -> Config:
        """Returns the options with all annotations of another folder, or those in another list, as train."""
        if len(paths) > 1:
            raise ValueError("expected one folder, or one list of images (.txt) in the folder of the run")
        is_list = paths[0].endswith(".txt")
        source = {"train": paths[0]} if is_list else {"folder": paths[0], "train": EVERY}
        return self.replaced(**source, validation=None, test=None)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks for the folders of annotations and images, and for the first annotation of a list."""
        if file == self.folder:
            _require_folders(self)
            return
        first = next(_names(file, self), None)
        if first is not None:
            _read(first, self)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths and boxes in the order of the lists; see `annotated_images.load_annotated`.

    The image of an annotation has its name, or the one in its `filename`. Objects that are `difficult` are
    neither learned nor counted as missed. Where an annotation's `size` is that of the image as stored, boxes
    are rotated by the EXIF orientation; else they are of the upright image.

    Raises:
        UserError: as `load_annotated`; or a folder, list, annotation or image is missing.
    """
    _require_folders(config)
    splits = {"train": config.train, "validation": config.validation, "test": config.test}
    return load_annotated(
        {name: _source(split, config) for name, split in splits.items() if split is not None},
        config,
        features.get("boxes"),
    )


def _source(split: FilePaths, config: Config) -> Source:
    lists = [_list_file(config, name) for name in expand(split)]
    origins = [config.folder if path is None else str(path) for path in lists]
    images = [_images(origin, path, config) for origin, path in zip(origins, lists, strict=True)]
    return Source(origin_of(origins), itertools.chain.from_iterable(images))


def _images(origin: str, path: Path | None, config: Config) -> Iterator[AnnotatedImage | BadRecord]:
    for location, name in _every(config) if path is None else _names(origin, config):
        try:
            yield _read((location, name), config)
        except BadRecord as bad:
            yield bad


def _require_folders(config: Config) -> None:
    """Refuses a folder without those of annotations and images."""
    root = Path(config.folder)
    if not os.path.isdir(root):
        what = "a file" if root.exists() else "not found"
        raise UserError(f"{root}: {what}; expected a folder (relative to {Path.cwd()}).")
    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    for key, name in (("annotations", config.annotations), ("images", config.images)):
        if not os.path.isdir(root / name):
            raise UserError(
                f"{root}: no folder {name!r}{did_you_mean(name, folders)}; expected that of the {key}, or "
                f"another one in data.{key}."
            )


def _list_file(config: Config, split: str) -> Path | None:
    """Returns the file of a split, or None for all annotations."""
    if split.endswith(".txt"):
        return Path(split)
    path = Path(config.folder) / LISTS / f"{split}.txt"
    return None if split == EVERY and not path.exists() else path


def _names(path: str, config: Config) -> Iterator[tuple[str, str]]:
    """Yields the place and the name of each image of a list."""
    for number, line in read_lines(path, encoding=config.encoding):
        name = line.strip()
        if name:
            yield f"{path}:{number}", name


def _every(config: Config) -> Iterator[tuple[str, str]]:
    folder = Path(config.folder) / config.annotations
    for path in sorted(folder.rglob("*.xml")):
        name = str(path.relative_to(folder).with_suffix(""))
        yield str(path), name


def _read(listed: tuple[str, str], config: Config) -> AnnotatedImage:
    """Reads the annotation of a listed image.

    Raises:
        BadRecord: it is missing or malformed, or has no image.
    """
    location, name = listed
    root = Path(config.folder)
    path = root / config.annotations / f"{name}.xml"
    if not os.path.isfile(path) and os.path.splitext(name)[1].lower() in (".xml", *IMAGE_SUFFIXES):
        name = os.path.splitext(name)[0]
        path = root / config.annotations / f"{name}.xml"
    if not os.path.isfile(path):
        what = f"'{printable(name)}' has no annotation: {path} not found; add it or remove the line."
        raise BadRecord(location, "without an annotation", what)
    annotation = _parse(path)
    place = str(path)
    size = _size(place, annotation)
    image = _image(place, root / config.images, name, annotation)
    objects = [
        _object(f"{path}: object {number}", one, config)
        for number, one in enumerate(annotation.iterfind("object"), 1)
    ]
    return AnnotatedImage(place, image, objects, size)


def _parse(path: Path) -> ElementTree.Element:
    """Returns the root of an XML file."""
    place = str(path)
    try:
        content = read_regular(path, MAX_XML_BYTES)
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ValueError("it has a DOCTYPE or entities, which annotations do not need")
        root = ElementTree.fromstring(content)
    except OSError as error:
        what = f"cannot be read ({error.strerror}); an XML file is expected."
        raise BadRecord(place, "not readable", what) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadRecord(place, "not XML", f"not an XML file that can be read: {error}.") from None
    if root.tag != "annotation":
        what = f"the outermost element is <{printable(root.tag)}>; expected <annotation>."
        raise BadRecord(place, "not an annotation", what)
    return root


def _size(location: str, annotation: ElementTree.Element) -> tuple[int, int] | None:
    """Returns height and width as annotated, or None where they are missing or zero, as some tools write."""
    texts = [annotation.findtext(f"size/{side}") for side in ("height", "width")]
    if any(text is None or not text.strip() for text in texts):
        return None
    height, width = (
        read_coordinate(location, f"size/{side}", str(text).strip())
        for side, text in zip(("height", "width"), texts, strict=True)
    )
    return (int(height), int(width)) if height > 0 and width > 0 else None


def _image(location: str, folder: Path, name: str, annotation: ElementTree.Element) -> str:
    """Returns the path of the image of an annotation."""
    given = (annotation.findtext("filename") or "").strip()
    named = [name, *(f"{name}{suffix}" for suffix in (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)))]
    found = [file for file in named if os.path.isfile(folder / file)]
    if given in found:
        return str(folder / given)
    if found:
        return str(folder / found[0])
    file = os.path.basename(given.replace("\\", "/"))
    if file and file.isprintable() and os.path.isfile(folder / file):
        return str(folder / file)
    what = f"no image {folder / name} with one of the suffixes {' '.join(IMAGE_SUFFIXES)}; add it."
    raise BadRecord(location, "without an image", what)


def _object(location: str, one: ElementTree.Element, config: Config) -> RawObject:
    label = read_class(location, one.findtext("name") or "")
    box = one.find("bndbox")
    if box is None:
        what = f"'{printable(label)}' has no <bndbox>, which is what is read; other outlines are not."
        raise BadRecord(location, "without a box", what)
    texts = [(edge, (box.findtext(edge) or "").strip()) for edge in EDGES]
    left, top, right, bottom = (read_coordinate(location, f"<{edge}>", text) for edge, text in texts)
    if config.coordinates == "pixels":
        left, top = left - 1.0, top - 1.0
    is_difficult = (one.findtext("difficult") or "0").strip()
    if is_difficult not in ("0", "1"):
        what = f"<difficult> must be 0 or 1; got '{printable(is_difficult)}'."
        raise BadRecord(location, "with a wrong flag", what)
    return RawObject(location, label, (left, top, right, bottom), is_difficult == "1")
