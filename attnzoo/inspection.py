"""`attnzoo data inspect`: what a config's data holds, and what its random changes make of images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.config.base import Section
from attnzoo.data import examples as data_examples
from attnzoo.data import overlap
from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.errors import DataWarning
from attnzoo.features.image import Image, ImageOptions
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors
from attnzoo.images import augmentation
from attnzoo.images.image_changes import to_float
from attnzoo.pictures import plain_texts
from attnzoo.runs.data import load_splits, task_of

ROWS, COLUMNS = 6, 8
"""Of a grid of pictures: images, and the image itself with changes of it."""


def inspect(resolved: ResolvedConfig) -> tuple[dict[str, Any], DataInfo, dict[str, Examples]]:
    """Loads the data of a config, learns what a training would learn, and counts; warns as training does.

    Returns:
        A report that JSON can hold, what was learned, and the encoded splits. The report has, for each split,
        `origin`, `examples`, `in_train` (examples that train has too; of train itself those that it has
        twice), `truncated_fraction` of texts, and what each feature says: `labels` (label -> examples), of
        images `sizes` ("height x width" -> images), `formats` and `channels`, of texts `tokens` (feature ->
        lengths), of numbers `numbers` (feature -> quantiles, mean, std).

    Raises:
        UserError: the data cannot be read, or the config does not go with it.
    """
    config = resolved.config
    task = task_of(config)
    splits = load_splits(config)
    with warnings.catch_warnings():
        # What the report says; other things are told as they are in training.
        warnings.filterwarnings("ignore", overlap.SHARED, DataWarning)
        info, examples = data_examples.learn(splits, config.data, task.name, task.features)
    task.check_data(resolved, info, examples)
    report = {
        name: {
            "origin": split.origin,
            "examples": len(split),
            "in_train": _in_train(split, splits.train, info),
            **_described(examples[name], info),
            **(
                {"truncated_fraction": info.truncated_fraction[name]}
                if name in info.truncated_fraction
                else {}
            ),
        }
        for name, split in splits.named().items()
    }
    return {"config": config.name, "task": task.name, "splits": report}, info, examples


def _in_train(split: Split, train: Split, info: DataInfo) -> int:
    if split is train:
        return overlap.num_repeated(train, info.features)
    return int(overlap.shared_indices(train, split, info.features).size)


def _described(examples: Examples, info: DataInfo) -> dict[str, Any]:
    """Returns what the features say, topic by topic; of a topic of several features what each says."""
    topics: dict[str, Any] = {}
    for name, encoded in examples.encoded.items():
        for topic, content in info.features[name].describe(name, examples.raw.column(name), encoded).items():
            topics[topic] = {**topics.get(topic, {}), **content}
    return topics


def draw_changes(config: RunConfig, info: DataInfo, examples: Examples, folder: Path) -> list[Path]:
    """Draws a grid for each random change of the config, and one for all of them together.

    A row is one image of train: first as it is, then changed with seeds of the first epochs.

    Returns:
        The files, `FOLDER/NAME.png`.

    Raises:
        UserError: a change of TensorFlow Addons without it; a file cannot be written (4).
    """
    changes = config.data.augment if isinstance(config.data, ImageOptions) else []
    feature = info.features.get("image")
    if not isinstance(feature, Image) or not changes:
        return []
    indices = task_of(config).sample_indices(examples.raw, ROWS)
    images = to_float(tf.constant(feature.first(examples.encoded["image"][indices])))
    grids: dict[str, list[Section]] = {change.name: [change] for change in changes}
    if len(changes) > 1:
        grids["all"] = list(changes)
    return [
        _draw(_grid(images, chosen, feature, config.seed), folder / f"{name}.png", f"{config.name}: {name}")
        for name, chosen in grids.items()
    ]


def _grid(images: tf.Tensor, changes: Sequence[Section], feature: Image, seed: int) -> np.ndarray:
    """Returns <float32>[rows, columns, height, width, channels] in 0..1."""
    indices = tf.range(tf.shape(images)[0])
    columns = [images]
    for epoch in range(COLUMNS - 1):
        seeds = augmentation.seeds(seed, epoch, indices)
        changed = augmentation.augment({"image": images}, changes, seeds, tf.constant(feature.mean))
        columns.append(changed["image"])
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
