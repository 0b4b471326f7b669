"""Small data sets of images with boxes, the same in the formats of Pascal VOC, COCO and YOLO."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SPLITS = {
    "train": {
        "a": (31, 41, [("cat", (1, 2, 11, 13)), ("dog", (5, 7, 23, 29))]),
        "b": (37, 29, [("cat", (0, 0, 29, 37))]),
        "c": (23, 19, []),
        "d": (43, 17, [("dog", (3, 5, 11, 41)), ("dog", (3, 5, 11, 37))]),
    },
    "test": {"t": (31, 41, [("dog", (13, 11, 37, 31))])},
}
"""Split -> image -> height, width and objects: class and left, top, right, bottom edge."""
NAMES = ("cat", "dog")


def picture(height: int, width: int, kind: str = "PNG", **options: Any) -> bytes:
    """Returns an image file of noise."""
    pixels = np.random.default_rng(height * width).integers(0, 255, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def voc_object(name: str, box: Any, more: str = "") -> str:
    """Returns an object of an XML file."""
    edges = "".join(
        f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{edges}</bndbox></object>"


def voc_xml(height: Any, width: Any, objects: str, file: str = "") -> str:
    """Returns an XML file."""
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{file}</filename>{size}{objects}</annotation>"


def write(path: Path, content: str | bytes) -> None:
    """Writes a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_voc(folder: Path) -> None:
    """Writes Annotations, JPEGImages and ImageSets/Main."""
    for split, images in SPLITS.items():
        write(folder / "ImageSets/Main" / f"{split}.txt", "".join(f"{name}\n" for name in images))
        for name, (height, width, objects) in images.items():
            write(folder / "JPEGImages" / f"{name}.png", picture(height, width))
            text = "".join(voc_object(label, box) for label, box in objects)
            write(folder / "Annotations" / f"{name}.xml", voc_xml(height, width, text))


def coco(split: str) -> dict[str, list[Any]]:
    """Returns the lists of a split; ids start at 0, and those of categories differ between the splits."""
    start = {"train": 0, "test": 5}[split]
    images, annotations = [], []
    for number, (name, (height, width, objects)) in enumerate(SPLITS[split].items()):
        images.append({"id": number, "file_name": f"{split}/{name}.png", "height": height, "width": width})
        for label, (left, top, right, bottom) in objects:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": start + NAMES.index(label),
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": start + number, "name": name} for number, name in enumerate(NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(folder: Path) -> None:
    """Writes train.json, test.json and the folders train and test."""
    for split, images in SPLITS.items():
        write(folder / f"{split}.json", json.dumps(coco(split)))
        for name, (height, width, _) in images.items():
            write(folder / split / f"{name}.png", picture(height, width))


def write_yolo(folder: Path) -> None:
    """Writes data.yaml, and images and labels of each split; images without objects have no label file."""
    write(folder / "data.yaml", "train: images/train\ntest: images/test\nnc: 2\nnames: [cat, dog]\n")
    for split, images in SPLITS.items():
        for name, (height, width, objects) in images.items():
            write(folder / "images" / split / f"{name}.png", picture(height, width))
            lines = [
                f"{NAMES.index(label)} {(left + right) / 2 / width:.8f} {(top + bottom) / 2 / height:.8f} "
                f"{(right - left) / width:.8f} {(bottom - top) / height:.8f}\n"
                for label, (left, top, right, bottom) in objects
            ]
            if lines:
                write(folder / "labels" / split / f"{name}.txt", "".join(lines))
