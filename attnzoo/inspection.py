"""`attnzoo data inspect`: what a config's data holds, and what its random changes make of images."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.config.base import Section
from attnzoo.data import augmentation, overlap
from attnzoo.data import examples as data_examples
from attnzoo.data import image as image_ops
from attnzoo.data.examples import Examples
from attnzoo.data.image_files import parse_header, read_header
from attnzoo.errors import DataWarning
from attnzoo.info import IMAGE_CLASSIFICATION, MULTI_LABEL, DataInfo, Split
from attnzoo.pictures import plain_texts
from attnzoo.run_dir import load_splits
from attnzoo.tensors import disk_errors

QUANTILES = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}
ROWS, COLUMNS = 6, 8
"""Of a grid of pictures: images, and the image itself with changes of it."""


def inspect(config: RunConfig) -> tuple[dict[str, Any], DataInfo, dict[str, Examples]]:
    """Loads the data of a config, learns what a training would learn, and counts.

    Returns:
        A report that JSON can hold, what was learned, and the encoded splits. The report has, for each split,
        `origin`, `examples`, `in_train` (examples that train has too; of train itself those that it has
        twice), `labels` (label -> examples), and of images `sizes` ("height x width" -> images), `formats`
        and `channels`, of texts `tokens` (feature -> lengths) and `cut_share`.

    Raises:
        UserError: the data cannot be read.
    """
    task = catalog.load("models", config.model.name).TASK
    splits = load_splits(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the report says it
        info, examples = data_examples.learn(splits, config.data, task)
    report = {
        name: {
            "origin": split.origin,
            "examples": len(split),
            "in_train": _in_train(split, splits.train),
            **_labels(split, info),
            **(_images(split) if task == IMAGE_CLASSIFICATION else _texts(examples[name])),
            **({"cut_share": info.cut_share[name]} if name in info.cut_share else {}),
        }
        for name, split in splits.named().items()
    }
    return {"config": config.name, "task": task, "splits": report}, info, examples


def _in_train(split: Split, train: Split) -> int:
    return overlap.num_repeated(train) if split is train else int(overlap.shared_indices(train, split).size)


def _labels(split: Split, info: DataInfo) -> dict[str, Any]:
    labels = split.columns.get("label")
    if labels is None:
        return {}
    if info.task == MULTI_LABEL:
        counts = labels.sum(axis=0).astype(int)
    else:
        counts = np.bincount(labels, minlength=info.num_classes)
    return {"labels": dict(zip(info.labels, counts.tolist(), strict=True))}


def _images(split: Split) -> dict[str, Any]:
    column = split.columns["image"]
    if column.dtype == np.uint8:
        height, width, channels = column.shape[1:]
        count = len(column)
        return {
            "sizes": {f"{height} x {width}": count},
            "formats": {"array": count},
            "channels": {channels: count},
        }
    headers = [
        read_header(item) if isinstance(item, str) else parse_header(item, split.origin) for item in column
    ]
    return {
        "sizes": dict(Counter(f"{header.height} x {header.width}" for header in headers).most_common()),
        "formats": dict(Counter(header.format for header in headers).most_common()),
        "channels": dict(Counter(header.channels for header in headers).most_common()),
    }


def _texts(examples: Examples) -> dict[str, Any]:
    return {
        "tokens": {
            name: {
                word: int(np.quantile(np.diff(ids.offsets), share, method="nearest"))
                for word, share in QUANTILES.items()
            }
            for name, ids in examples.texts.items()
        }
    }


def draw_changes(config: RunConfig, info: DataInfo, examples: Examples, folder: Path) -> list[Path]:
    """Draws a grid for each random change of the config, and one for all of them together.

    A row is one image of train: first as it is, then changed with seeds of the first epochs.

    Returns:
        The files, `FOLDER/NAME.png`.

    Raises:
        UserError: a change of TensorFlow Addons without it; a file cannot be written (4).
    """
    changes = getattr(config.data, "augment", [])
    if examples.images is None or not changes:
        return []
    read = image_ops.read_images(examples.images[:ROWS], info.image_shape)
    images = tf.cast(read(tf.range(min(ROWS, len(examples)))), tf.float32) / 255.0
    grids = {change.name: [change] for change in changes}
    if len(changes) > 1:
        grids["all"] = list(changes)
    return [
        _draw(_grid(images, chosen, info, config.seed), folder / f"{name}.png", f"{config.name}: {name}")
        for name, chosen in grids.items()
    ]


def _grid(images: tf.Tensor, changes: Sequence[Section], info: DataInfo, seed: int) -> np.ndarray:
    """Returns <float32>[rows, columns, height, width, channels] in 0..1."""
    indices = tf.range(tf.shape(images)[0])
    columns = [images]
    for epoch in range(COLUMNS - 1):
        seeds = augmentation.seeds(seed, epoch, indices)
        changed, _ = augmentation.augment(images, changes, seeds, tf.constant(info.image_mean))
        columns.append(changed)
    return np.clip(np.stack(columns, axis=1), 0.0, 1.0)


def _draw(grid: np.ndarray, path: Path, title: str) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = grid.shape[:2]
    figure = Figure(figsize=(1.2 * columns, 1.2 * rows + 0.6), layout="constrained")
    with plain_texts():
        figure.suptitle(f"{title}; as they are on the left", fontsize=9)
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, picture in zip(axes.flat, grid.reshape(-1, *grid.shape[2:]), strict=True):
            axis.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            FigureCanvasAgg(figure).print_png(str(path))
    return path


def shown_sizes(sizes: Mapping[str, int]) -> str:
    """Returns the sizes of a split's images for people: the only one, or the extremes."""
    if len(sizes) == 1:
        return next(iter(sizes))
    sides = [tuple(map(int, size.split(" x "))) for size in sizes]
    heights, widths = zip(*sides, strict=True)
    return f"{min(heights)} to {max(heights)} x {min(widths)} to {max(widths)}"
