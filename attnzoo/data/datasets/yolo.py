"""Images with boxes as YOLO has them: a data.yaml, and a text file for each image."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from attnzoo.config.source import KeyPath
from attnzoo.data.annotated_images import (
    AnnotatedImage,
    AnnotationOptions,
    Source,
    images_in,
    load_annotated,
    read_class,
    read_coordinate,
)
from attnzoo.data.splits import DataSplits
from attnzoo.errors import DataNote, DataWarning, UserError
from attnzoo.features.feature import Feature
from attnzoo.files import read_regular
from attnzoo.records.annotations import RawObject
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import printable, read_lines

COLUMNS = {"image": ("image",), "boxes": ("boxes",)}

MAX_YAML_BYTES = 4 << 20
SPLITS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""Split -> keys that may name its images."""
CLASS_LIST = "classes.txt"
"""Name of a file with the names of the classes, which LabelImg writes beside the label files."""
MAX_FRACTION = 2.0
"""Numbers beyond it are no fractions of an image but pixels."""


class Config(AnnotationOptions):
    """A data.yaml with `path`, `train`, `val`, `test` and `names`; labels are in `labels` beside `images`."""

    name: Literal["yolo"] = Field(description="Images with boxes as YOLO has them: data.yaml and text files.")
    file: str = Field(
        description="The data.yaml. Its `train`, `val` and `test` are folders or lists of images (.txt), "
        "relative to its `path` or to its own folder."
    )

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the data.yaml."""
        yield ("file",), self.file

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has the data.yaml."""
        return key == "file"

    def with_files(self, paths: Sequence[str]) -> Config:
        """Returns the options with another data.yaml, which names the splits."""
        if len(paths) > 1:
            raise ValueError("expected one data.yaml")
        return self.replaced(file=paths[0])

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the classes and for the folders of all splits."""
        content = _parse(file)
        _names(file, content)
        _places(file, content)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths and boxes in the order of the files' names; see `annotated_images.load_annotated`.

    A line of a label file is the number of a class, and the center, width and height of a box, or the corners
    of an outline, as fractions of the upright image. An image without a label file has no objects.

    Raises:
        UserError: as `load_annotated`; or the data.yaml is malformed, or a folder has no images or no label
            files.
    """
    content = _parse(config.file)
    names = _names(config.file, content)
    sources = {
        split: Source(origin, _images(origin, paths, names, config), names)
        for split, (origin, paths) in _places(config.file, content).items()
    }
    return load_annotated(sources, config, features.get("boxes"))


def _parse(file: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_regular(Path(file), MAX_YAML_BYTES))
    except FileNotFoundError:
        raise UserError(f"{file}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); expected a YAML file.") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise UserError(f"{file}{line}: not YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not YAML: {' '.join(str(error).split())[:200]}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected keys such as `train: images/train` and `names: [cat, dog]`.")
    return content


def _names(file: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the classes in the order of their numbers."""
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise UserError(f"{file}: 'names' must have the numbers 0 to {len(names) - 1} as keys.")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names) or not names:
        raise UserError(f"{file}: 'names' must list the classes, such as [cat, dog].")
    read = [read_class(f"{file}: names[{number}]", name) for number, name in enumerate(names)]
    for number, name in enumerate(read):
        if name in read[:number]:
            raise UserError(
                f"{file}: names[{number}]: '{printable(name)}' occurs twice; give each class its own."
            )
    if content.get("nc", len(read)) != len(read):
        raise UserError(
            f"{file}: 'nc' is {content['nc']!r}, but 'names' has {len(read)} classes; make them agree."
        )
    return tuple(read)


def _places(file: str, content: Mapping[str, Any]) -> dict[str, tuple[str, list[Path]]]:
    """Returns split -> its name for messages, and its folders or lists of images."""
    places = {}
    for split, keys in SPLITS.items():
        given = next((content[key] for key in keys if content.get(key)), None)
        if given is None:
            if split == "train":
                raise UserError(f"{file}: no 'train'; expected the folder of the images of train.")
            continue
        entries = given if isinstance(given, list) else [given]
        if not all(isinstance(entry, str) for entry in entries):
            raise UserError(f"{file}: {keys[0]!r} must be a folder, a file (.txt) or a list of these.")
        places[split] = (
            ", ".join(map(str, paths := [_place(file, content, entry) for entry in entries])),
            paths,
        )
    return places


def _place(file: str, content: Mapping[str, Any], entry: str) -> Path:
    """Returns the folder or file of images that an entry of the data.yaml means."""
    own = Path(file).parent
    root = content.get("path") or ""
    if not isinstance(root, str):
        raise UserError(f"{file}: 'path' must be a folder.")
    roots = [own / root, Path(root), own] if root else [own]
    # Exports of Roboflow say ../train/images where train/images is beside the data.yaml.
    shortened = [entry.removeprefix("../")] if entry.startswith("../") else []
    candidates = [base / name for name in (entry, *shortened) for base in roots]
    for path in candidates:
        if os.path.exists(path):
            return path
    raise UserError(
        f"{file}: {candidates[0]} not found; it is looked for in 'path' and beside the data.yaml."
    )


def _images(
    origin: str, places: Sequence[Path], names: Sequence[str], config: Config
) -> Iterator[AnnotatedImage | BadRecord]:
    missing: list[Path] = []
    expected: list[Path] = []
    for location, path in _paths(places, config):
        labels = _label_file(path)
        expected.append(labels)
        if not os.path.exists(labels):
            missing.append(path)
            yield AnnotatedImage(location, str(path), [], are_fractions=True)
            continue
        try:
            yield AnnotatedImage(str(labels), str(path), _objects(labels, names, config), are_fractions=True)
        except BadRecord as bad:
            yield bad
        except UserError as error:  # the file as a whole
            place, _, what = str(error).partition(": ")
            yield BadRecord(place, "not readable", what)
    num_images = len(expected)
    if missing and len(missing) == num_images:
        raise UserError(
            f"{origin}: none of {num_images:,} images has a label file (first: {_label_file(missing[0])} not "
            "found)."
        )
    if missing:
        warnings.warn(
            f"{origin}: {len(missing):,} of {num_images:,} images have no label file, so they count as "
            f"images without objects (first: {missing[0]}).",
            DataNote,
            stacklevel=2,
        )
    unused = _unused_labels(places, set(expected))
    if unused:
        warnings.warn(
            f"{origin}: {len(unused):,} label files have no image, so their objects are not learned (first: "
            f"{unused[0]}).",
            DataWarning,
            stacklevel=2,
        )


def _unused_labels(places: Sequence[Path], expected: set[Path]) -> list[Path]:
    """Returns the label files in folders of labels that no image of the same folder has."""
    folders = {path.parent for path in expected if all(place.is_dir() for place in places)}
    apart = {folder for folder in folders if "labels" in folder.parts}
    files = {path for folder in apart if folder.is_dir() for path in folder.glob("*.txt")}
    return sorted(path for path in files - expected if path.name != CLASS_LIST)


def _paths(places: Sequence[Path], config: Config) -> Iterator[tuple[str, Path]]:
    """Yields the place where an image is named, and its file."""
    for place in places:
        if place.is_dir():
            yield from ((str(path), path) for path in images_in(place))
            continue
        for number, line in read_lines(place, encoding=config.encoding):
            if name := line.strip():
                beside = place.parent / name
                yield (
                    f"{place}:{number}",
                    beside if os.path.exists(beside) or not os.path.exists(name) else Path(name),
                )


def _label_file(image: Path) -> Path:
    """Returns the label file of an image: `labels` for the last folder `images` of its path."""
    parts = list(image.with_suffix(".txt").parts)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts)


def _objects(path: Path, names: Sequence[str], config: Config) -> list[RawObject]:
    """Reads a label file.

    Raises:
        BadRecord: a line is malformed.
        UserError: the file cannot be read.
    """
    objects = []
    for number, line in read_lines(path, encoding=config.encoding):
        parts = line.split()
        if parts:
            objects.append(_object(f"{path}:{number}", parts, names))
    return objects


def _object(location: str, parts: Sequence[str], names: Sequence[str]) -> RawObject:
    number, *texts = parts
    if len(texts) != 4 and (len(texts) < 6 or len(texts) % 2):
        what = (
            f"{len(parts)} numbers; expected 5, the class and the center, width and height of a box, or "
            "the class and 3 or more corners."
        )
        raise BadRecord(location, "with a wrong number of values", what)
    label = read_coordinate(location, "the class", number)
    if not label.is_integer() or not 0 <= label < len(names):
        what = f"class {printable(number)}; the data.yaml has the classes 0 to {len(names) - 1}."
        raise BadRecord(location, "of an unknown class", what)
    values = [read_coordinate(location, "a coordinate", text) for text in texts]
    if max(map(abs, values)) > MAX_FRACTION:
        what = (
            f"{max(values, key=abs):.6g} is no fraction of the image, 0 to 1; divide pixels by its width or "
            "height."
        )
        raise BadRecord(location, "with pixels in place of fractions", what)
    if len(values) == 4:
        x, y, width, height = values
        edges = (x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
    else:
        edges = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    return RawObject(location, names[int(label)], edges)
