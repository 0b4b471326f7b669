"""Malformed annotations of objects in images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests import annotated
from tests.annotated import coco, voc_object, voc_xml
from tests.robustness.malformed import Build, Case, holding, nothing

XML, LIST, COCO_FILE = "Annotations/a.xml", "ImageSets/Main/train.txt", "train.json"
YAML, LABELS = "data.yaml", "labels/train/a.txt"
BOX = voc_object("cat", (1, 2, 11, 13))
BOMB = '<!DOCTYPE a [<!ENTITY b "{}">]><annotation>&b;</annotation>'.format("b" * 999)


def voc(name: str, message: str, content: str | bytes, options: str = "", file: str = XML) -> Case:
    """Returns a case of a damaged file of Pascal VOC."""
    return Case(f"voc: {name}", file, message, holding(content), options)


def objects(text: str) -> str:
    """Returns an XML file with these objects."""
    return voc_xml(31, 41, text)


def without(*parts: str) -> Build:
    """Returns a builder that removes files or folders in the working directory."""

    def build(path: Path) -> None:
        for part in parts:
            gone = Path(part)
            if gone.is_dir():
                shutil.rmtree(gone)
            else:
                gone.unlink()

    return build


def both(first: Build, second: Build) -> Build:
    """Returns a builder that does two things."""

    def build(path: Path) -> None:
        first(path)
        second(path)

    return build


VOC = [
    voc("empty", ": not an XML file that can be read: no element found", ""),
    voc("JSON in its place", ": not an XML file that can be read: not well-formed", '{"boxes": []}'),
    voc("truncated", ": not an XML file that can be read: ", objects(BOX)[:80]),
    voc("NUL characters", ": not an XML file that can be read: not well-formed", objects("\0" + BOX)),
    voc(
        "an unknown encoding",
        ": not an XML file that can be read",
        '<?xml version="1.0" encoding="klingon"?><annotation/>',
    ),
    voc("entities", ": not an XML file that can be read: it has a DOCTYPE or entities", BOMB),
    voc("another kind of XML", ": the outermost element is <svg>; expected <annotation>.", "<svg/>"),
    voc("no class", ": object 2: the label is empty", objects(BOX + BOX.replace("cat", " "))),
    voc("no box", ": object 1: 'cat' has no <bndbox>", objects(BOX.replace("bndbox", "polygon"))),
    voc(
        "an edge is missing",
        ": object 1: <xmax> must be a number such as 12 or 3.5; got ''",
        objects(BOX.replace("xmax", "x2")),
    ),
    voc(
        "a word as an edge",
        ": object 1: <xmin> must be a number",
        objects(voc_object("cat", ("one", 2, 3, 4))),
    ),
    voc("not a number", ": object 1: <ymin> must be a number", objects(voc_object("cat", (1, "nan", 3, 4)))),
    voc("endless", ": object 1: <ymax> must be a number", objects(voc_object("cat", (1, 2, 3, "inf")))),
    voc("far away", ": object 1: <xmax> must be a number", objects(voc_object("cat", (1, 2, "1e30", 4)))),
    voc(
        "a wrong flag",
        ": object 1: <difficult> must be 0 or 1; got 'maybe'",
        objects(voc_object("cat", (1, 2, 3, 4), "<difficult>maybe</difficult>")),
    ),
    voc(
        "of another size",
        ": annotated as 64 x 48 pixels (width x height), but JPEGImages/a.png has 41 x 31",
        voc_xml(48, 64, BOX),
    ),
    voc("a word as its size", ": size/width must be a number", voc_xml(48, "wide", BOX)),
    Case(
        "voc: no image",
        XML,
        ": no image JPEGImages/a with one of the suffixes .jpg",
        both(holding(objects(BOX)), without("JPEGImages/a.png")),
    ),
    Case(
        "voc: a damaged image",
        XML,
        ": JPEGImages/a.png: not a JPEG, PNG, WebP, GIF or BMP image",
        both(holding(objects(BOX)), lambda path: holding("no image")(Path("JPEGImages/a.png"))),
    ),
    voc(
        "a class that train does not have",
        ": label 'dgo' does not occur in train (did you mean 'dog'?)",
        voc_xml(31, 41, voc_object("dgo", (1, 2, 3, 4))),
        file="Annotations/t.xml",
    ),
    voc(
        "without area, on_bad_box: error",
        ": object 1: a box of 'cat' without area: left, top, right, bottom are 3 2 3 4; fix it, or",
        objects(voc_object("cat", (3, 2, 3, 4))),
        ", on_bad_box: error",
    ),
    voc(
        "outside, on_bad_box: error",
        ": object 1: a box of 'cat' outside the image:",
        objects(voc_object("cat", (50, 2, 60, 4))),
        ", on_bad_box: error",
    ),
    voc(
        "partly outside, on_bad_box: error",
        ": object 1: a box of 'cat' partly outside the image:",
        objects(voc_object("cat", (-1, 2, 60, 4))),
        ", on_bad_box: error",
    ),
    voc(
        "corners swapped, on_bad_box: error",
        ": object 1: a box of 'cat' with opposite corners in the wrong order:",
        objects(voc_object("cat", (5, 2, 3, 4))),
        ", on_bad_box: error",
    ),
    voc(
        "twice, on_bad_box: error",
        ": object 2: a box of 'cat' identical to another one of the same class:",
        objects(BOX + BOX),
        ", on_bad_box: error",
    ),
    voc(
        "a list of another set",
        ":1: 'zebra' has no annotation: Annotations/zebra.xml not found",
        "zebra\n",
        file=LIST,
    ),
    voc("a list with marks", ":1: 'a  1' has no annotation", "a  1\n", file=LIST),
    voc("an empty list", ": no images; expected at least one", "\n", file=LIST),
    voc("a list that is not UTF-8", ":1: not UTF-8", b"\xe4\n", file=LIST),
    Case("voc: no list", LIST, ": not found", nothing),
    Case(
        "voc: no folder of annotations",
        ".",
        ": no folder 'Annotations'; expected that of the annotations",
        without("Annotations"),
    ),
    voc(
        "a class to rename that is not there",
        ": data.classes names the class 'dgo', which the data does not have (did you mean 'dog'?)",
        "a\nd\n",
        ", classes: {dgo: cat}",
        LIST,
    ),
    voc(
        "no class is left",
        ": none of 2 images of train has an object, as data.classes leaves all out",
        "a\nd\n",
        ", classes: {cat: null, dog: null}",
        LIST,
    ),
]


def coco_case(
    name: str, message: str, change: Callable[[dict[str, list[Any]]], Any], options: str = ""
) -> Case:
    """Returns a case of train.json after a change of its lists."""

    def content() -> bytes:
        lists = coco("train")
        changed = change(lists)
        return json.dumps(lists if changed is None else changed).encode()

    return Case(f"coco: {name}", COCO_FILE, message, holding(content), options)


def with_key(part: str, index: int, **values: Any) -> Callable[[dict[str, list[Any]]], None]:
    """Returns a change of keys of an entry; None removes one."""

    def change(lists: dict[str, list[Any]]) -> None:
        entry = lists[part][index]
        for key, value in values.items():
            if value is None:
                del entry[key]
            else:
                entry[key] = value

    return change


COCO = [
    Case("coco: empty", COCO_FILE, ":1: not JSON: Expecting value at column 1", holding("")),
    Case("coco: truncated", COCO_FILE, ":1: not JSON: ", holding(json.dumps(coco("train"))[:100])),
    Case(
        "coco: not UTF-8", COCO_FILE, ": not JSON: 'utf-8' codec can't decode byte", holding(b'{"a": "\xe4"}')
    ),
    Case("coco: nested deeply", COCO_FILE, ": not JSON: nested too deeply", holding("[" * 99_999)),
    Case("coco: NaN", COCO_FILE, ": not JSON: NaN is not JSON, use a number", holding('{"images": [NaN]}')),
    Case(
        "coco: a folder in its place",
        COCO_FILE,
        ": not JSON: train.json is not a file",
        lambda path: path.mkdir(),
    ),
    Case("coco: no file", COCO_FILE, ": not found", nothing),
    coco_case(
        "results of a detector",
        ": expected an object with the lists images, annotations, categories; got [{",
        lambda lists: [{"image_id": 0, "bbox": [1, 2, 3, 4], "score": 0.5}],
    ),
    coco_case("no images", ": 'images' is missing", lambda lists: lists.pop("images") and None),
    coco_case(
        "annotations by image",
        ": 'annotations' is not a list",
        lambda lists: {**lists, "annotations": {"0": []}},
    ),
    coco_case(
        "a category without name",
        ": categories[0]: 'name' must be a string or a whole number; got null",
        with_key("categories", 0, name=None),
    ),
    coco_case(
        "a category without id",
        ": categories[1]: 'id' must be a whole number; got none",
        with_key("categories", 1, id=None),
    ),
    coco_case(
        "an id of two categories", ": categories[1]: id 0 occurs twice", with_key("categories", 1, id=0)
    ),
    coco_case(
        "a name of two categories",
        ": categories[1]: name 'cat' occurs twice",
        with_key("categories", 1, name="cat"),
    ),
    coco_case("an id of two images", ": images[1]: id 0 occurs twice", with_key("images", 1, id=0)),
    coco_case(
        "an id that is a text",
        ": images[0]: 'id' must be a whole number; got \"0\"",
        with_key("images", 0, id="0"),
    ),
    coco_case(
        "an image without file",
        ": images[2]: 'file_name' must be a string; got null",
        with_key("images", 2, file_name=None),
    ),
    coco_case(
        "an empty file name", ": images[2]: the file_name is empty", with_key("images", 2, file_name=" ")
    ),
    coco_case(
        "a file name of two lines",
        ": images[2]: the file_name is not printable text",
        with_key("images", 2, file_name="a\nb.png"),
    ),
    coco_case(
        "a file name with NUL",
        ": images[2]: NUL character in the file_name",
        with_key("images", 2, file_name="a\0.png"),
    ),
    coco_case(
        "an image that is not there",
        ": image 2 (gone.png): gone.png: cannot be read (No such file",
        with_key("images", 2, file_name="gone.png"),
    ),
    coco_case(
        "another folder of images",
        ": its images are not there (first: test/train/a.png); set data.train_images",
        lambda lists: None,
        ", train_images: test",
    ),
    coco_case(
        "of another size",
        ": image 0 (train/a.png): annotated as 64 x 48 pixels",
        with_key("images", 0, height=48, width=64),
    ),
    coco_case(
        "a number for an image",
        ": images[4]: expected an object such as {...}; got 7",
        lambda lists: lists["images"].append(7),
    ),
    coco_case(
        "a box of no image",
        ": annotations[0]: image_id 77 is that of no image",
        with_key("annotations", 0, image_id=77),
    ),
    coco_case(
        "a box without image",
        ": annotations[0]: 'image_id' must be a whole number; got none",
        with_key("annotations", 0, image_id=None),
    ),
    coco_case(
        "a box of no category",
        ": annotations[1]: category_id 9 is that of no category",
        with_key("annotations", 1, category_id=9),
    ),
    coco_case(
        "an outline without box",
        ": annotations[1]: 'bbox' must be [left, top, width, height]; got none",
        with_key("annotations", 1, bbox=None),
    ),
    coco_case(
        "three numbers",
        ": annotations[1]: 'bbox' must be [left, top, width, height]; got [1, 2, 3]",
        with_key("annotations", 1, bbox=[1, 2, 3]),
    ),
    coco_case(
        "a word in a box",
        ": annotations[1]: 'bbox' must be four numbers; got [1, 2, 3, \"4\"]",
        with_key("annotations", 1, bbox=[1, 2, 3, "4"]),
    ),
    coco_case(
        "far away",
        ": annotations[1]: 'bbox' must be a number such as 12 or 3.5; got 1e+30",
        with_key("annotations", 1, bbox=[1, 2, 1e30, 4]),
    ),
    coco_case(
        "a wrong flag",
        ": annotations[1]: 'iscrowd' must be 0 or 1; got 2",
        with_key("annotations", 1, iscrowd=2),
    ),
    coco_case(
        "no objects", ": none of 4 images of train has an object.", lambda lists: {**lists, "annotations": []}
    ),
    coco_case(
        "a negative width, on_bad_box: error",
        ": annotations[1]: a box of 'dog' with opposite corners in the wrong order",
        with_key("annotations", 1, bbox=[9, 2, -3, 4]),
        ", on_bad_box: error",
    ),
]


def yolo(name: str, message: str, content: str | bytes, file: str = LABELS) -> Case:
    """Returns a case of a damaged data.yaml or label file."""
    return Case(f"yolo: {name}", file, message, holding(content))


YOLO = [
    yolo("an empty data.yaml", ": expected keys such as", "", YAML),
    yolo("not YAML", ":1: not YAML: ", "names: [cat", YAML),
    yolo("no classes", ": 'names' must list the classes", "train: images/train\n", YAML),
    yolo(
        "numbers with a gap",
        ": 'names' must have the numbers 0 to 1 as keys",
        "train: images/train\nnames: {0: cat, 2: dog}\n",
        YAML,
    ),
    yolo(
        "another number of classes",
        ": 'nc' is 3, but 'names' has 2 classes",
        "train: images/train\nnc: 3\nnames: [cat, dog]\n",
        YAML,
    ),
    yolo("a class twice", ": names[1]: 'cat' occurs twice", "train: images/train\nnames: [cat, cat]\n", YAML),
    yolo(
        "a class that YAML reads as yes",
        ": names[1]: 'name' must be a string or a whole number; got true",
        "train: images/train\nnames: [cat, yes]\n",
        YAML,
    ),
    yolo(
        "no train",
        ": no 'train'; expected the folder of the images",
        "val: images/train\nnames: [cat, dog]\n",
        YAML,
    ),
    yolo(
        "a folder that is not there",
        ": photos/train not found",
        "train: photos/train\nnames: [cat, dog]\n",
        YAML,
    ),
    yolo("a number for a folder", ": 'train' must be a folder", "train: 7\nnames: [cat, dog]\n", YAML),
    yolo(
        "a list for the path",
        ": 'path' must be a folder",
        "path: [a]\ntrain: images/train\nnames: [cat, dog]\n",
        YAML,
    ),
    Case("yolo: no data.yaml", YAML, ": not found", nothing),
    yolo("four numbers", ":1: 4 numbers; expected 5", "0 0.5 0.5 0.2\n"),
    yolo("a score too", ":2: 6 numbers; expected 5", "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2 0.9\n"),
    yolo(
        "a class that is not there",
        ":1: class 2; the data.yaml has the classes 0 to 1",
        "2 0.5 0.5 0.2 0.2\n",
    ),
    yolo("half a class", ":1: class 0.5; the data.yaml", "0.5 0.5 0.5 0.2 0.2\n"),
    yolo(
        "a name for a class",
        ":1: the class must be a number such as 12 or 3.5; got 'cat'",
        "cat 0.5 0.5 0.2 0.2\n",
    ),
    yolo("a word as an edge", ":1: a coordinate must be a number", "0 0.5 half 0.2 0.2\n"),
    yolo("not a number", ":1: a coordinate must be a number", "0 0.5 nan 0.2 0.2\n"),
    yolo("pixels", ":1: 23 is no fraction of the image, 0 to 1; divide pixels", "0 12 23 4 5\n"),
    yolo("commas", ":1: 1 numbers; expected 5", "0,0.5,0.5,0.2,0.2\n"),
    yolo("not UTF-8", ":1: not UTF-8", b"\xe4\n"),
    Case(
        "yolo: no labels",
        "images/train",
        ": none of 4 images has a label file (first: labels/train/a.txt not found)",
        without("labels/train"),
    ),
    Case(
        "yolo: no images",
        "images/train",
        ": no images; expected at least one",
        lambda path: [file.unlink() for file in Path("images/train").iterdir()],
    ),
]


def prepare_voc(folder: Path, case: Case) -> dict[str, Any]:
    """Writes a sound set, then the damaged file; returns the options of the data."""
    return _prepare(folder, case, annotated.write_voc, {"name": "voc", "folder": ".", "test": "test"})


def prepare_coco(folder: Path, case: Case) -> dict[str, Any]:
    """Writes a sound set, then the damaged file; returns the options of the data."""
    return _prepare(folder, case, annotated.write_coco, {"name": "coco", "train": "train.json"})


def prepare_yolo(folder: Path, case: Case) -> dict[str, Any]:
    """Writes a sound set, then the damaged file; returns the options of the data."""
    return _prepare(folder, case, annotated.write_yolo, {"name": "yolo", "file": "data.yaml"})


def _prepare(
    folder: Path, case: Case, write: Callable[[Path], None], options: dict[str, Any]
) -> dict[str, Any]:
    write(folder)
    path = folder / case.file
    if path.is_file():
        path.unlink()
    case.build(path)
    return {**options, **yaml.safe_load(f"{{{case.options.removeprefix(', ')}}}")}
