"""Pictures of the boxes of train: over images, and statistics of how many, how large and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnzoo.data.examples import Examples
from attnzoo.data.samples import evenly_spaced
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.images.image_changes import to_float
from attnzoo.pictures import BoxLayer, class_color, draw_boxes, literal_text, save_picture
from attnzoo.records.annotations import CLASS, KIND, NOTHING, OBJECT
from attnzoo.records.text_files import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, COLUMNS = 3, 4
"""Size of the grid of images with boxes."""
CELL_PIXELS = 440
"""Width of an image in that grid."""
CROWD_COLOR = "gray"
MAX_CLASSES = 20
"""Most classes that a legend or a chart names."""
BINS = 24


def draw(name: str, image: Image, boxes: Boxes, examples: Examples, folder: Path) -> list[Path]:
    """Draws training images with their boxes and classes, `boxes.png`, and `box_statistics.png`.

    Args:
        name: of the config.
        image, boxes: learned features.
        examples: train.
        folder: of the pictures.

    Returns:
        The files.
    """
    encoded, chosen = examples.encoded["boxes"], with_objects(examples, ROWS * COLUMNS)
    pixels = to_float(image.graph_batch(examples.encoded["image"])(chosen.astype(np.int32))).numpy()
    cells = [
        _with_classes(one, encoded[index], boxes.names) for one, index in zip(pixels, chosen, strict=True)
    ]
    return [
        _save_images(cells, folder / "boxes.png", f"{name}: images of train as the model sees them"),
        _save_statistics(np.concatenate(list(encoded)), boxes, folder / "box_statistics.png", name),
    ]


def with_objects(examples: Examples, count: int) -> np.ndarray:
    """Returns the indices <int64>[count or fewer] of evenly spaced images that have objects."""
    indices = np.flatnonzero([len(rows) > 0 for rows in examples.encoded["boxes"]])
    return indices[evenly_spaced(len(indices), count)]


def outline(axis: Any, rows: np.ndarray, shape: tuple[int, ...]) -> None:
    """Adds boxes <float>[boxes, 6], as in a batch, to axes with an image of (height, width, channels)."""
    from matplotlib.patches import Rectangle

    height, width = shape[:2]
    for row in rows[rows[:, KIND] != NOTHING]:
        left, top, right, bottom = row[:CLASS] * [width, height, width, height]
        corner = (left - 0.5, top - 0.5)  # pixels of Matplotlib have their centers at whole numbers
        axis.add_patch(
            Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=_color(row), linewidth=1)
        )


def _with_classes(image: np.ndarray, rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Returns an image with its boxes and their classes, <uint8>[height, width, 3]."""
    height, width = image.shape[:2]
    texts = [printable(names[int(row[CLASS])]) for row in rows]
    layer = BoxLayer(rows[:, :CLASS] * [width, height, width, height], texts, [_color(row) for row in rows])
    return draw_boxes(image, [layer], CELL_PIXELS)


def _color(row: np.ndarray) -> str:
    return class_color(int(row[CLASS])) if row[KIND] == OBJECT else CROWD_COLOR


def add_legend(figure: Figure, boxes: Boxes) -> None:
    """Adds the colors of the classes below the pictures of a figure."""
    from matplotlib.patches import Patch

    shown = boxes.names[:MAX_CLASSES]
    patches = [Patch(color=class_color(number), label=printable(name)) for number, name in enumerate(shown)]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(shown), 8), fontsize=7)


def _save_images(cells: list[np.ndarray], path: Path, title: str) -> Path:
    from matplotlib.figure import Figure

    rows = -(-len(cells) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 3.2 * rows * cells[0].shape[0] / cells[0].shape[1] + 0.4))
    figure.set_layout_engine("constrained")
    with literal_text():
        figure.suptitle(title, fontsize=9)
        axes = figure.subplots(rows, COLUMNS, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, cell in zip(axes.flat, cells, strict=False):
            axis.imshow(cell)
        return save_picture(figure, path)


def _save_statistics(rows: np.ndarray, boxes: Boxes, path: Path, name: str) -> Path:
    """Draws the objects of each class, their sides and their centers.

    Args:
        rows: <float>[boxes, 6], those of all images.
        boxes: learned feature.
        path: of the picture.
        name: of the config.
    """
    from matplotlib.figure import Figure

    rows = rows[rows[:, KIND] == OBJECT]
    height, width = boxes.canvas
    figure = Figure(figsize=(12.0, 3.6), layout="constrained")
    with literal_text():
        figure.suptitle(f"{name}: {len(rows):,} objects of train, on {height} x {width} pixels", fontsize=9)
        by_class, sides, places = figure.subplots(1, 3)
        _chart_classes(by_class, rows, boxes)
        columns, lines = (rows[:, 2] - rows[:, 0]) * width, (rows[:, 3] - rows[:, 1]) * height
        colors = [class_color(int(number)) for number in rows[:, CLASS]]
        sides.scatter(columns, lines, c=colors, s=4, alpha=0.4, linewidths=0)
        sides.set(xlabel="width", ylabel="height", xlim=(0, width), ylim=(0, height), title="sizes in pixels")
        centers = rows[:, [0, 1]] + rows[:, [2, 3]]
        shown = places.hist2d(
            centers[:, 0] * width / 2, centers[:, 1] * height / 2, bins=BINS, range=[[0, width], [0, height]]
        )
        figure.colorbar(shown[3], ax=places)
        places.set(ylim=(height, 0), title="centers of objects", aspect="equal")
        return save_picture(figure, path)


def _chart_classes(axis: Any, rows: np.ndarray, boxes: Boxes) -> None:
    counts = np.bincount(rows[:, CLASS].astype(np.int64), minlength=len(boxes.names))
    order = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    labels = [printable(boxes.names[number])[:20] for number in order]
    colors = [class_color(int(number)) for number in order]
    bars = axis.barh(range(len(order)), counts[order], color=colors)
    axis.bar_label(bars, [f"{count:,}" for count in counts[order]], fontsize=7, padding=2)
    axis.set_yticks(range(len(order)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_title(
        "objects" if len(order) == len(boxes.names) else f"objects of the {len(order)} largest classes"
    )
