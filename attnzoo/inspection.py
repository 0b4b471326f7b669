"""`attnzoo data inspect`: statistics of a config's data, and pictures of its image augmentation."""

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
from attnzoo.pictures import literal_text
from attnzoo.runs.data import load_splits, load_task

ROWS, COLUMNS = 6, 8
"""Size of a grid: one row per image, with the original and augmented versions of it."""


def inspect(resolved: ResolvedConfig) -> tuple[dict[str, Any], DataInfo, dict[str, Examples]]:
    """Loads the data of a config as training does, with the same warnings, and computes statistics of it.

    Returns:
        A JSON-serializable report, what was learned about the data, and the encoded splits. The report has,
        for each split, `origin`, `examples`, `in_train` (examples that are also in train; for train itself
        the number of duplicates), `truncated_fraction` for texts, and descriptions by the features: `labels`
        (label -> examples), for images `sizes` ("height x width" -> images), `formats` and `channels`, for
        texts `tokens` (feature -> lengths), for numbers `numbers` (feature -> quantiles, mean, std).

    Raises:
        UserError: the data cannot be read, or does not match the config.
    """
    config = resolved.config
    task = load_task(config)
    splits = load_splits(config)
    with warnings.catch_warnings():
        # The report has this number; all other warnings are shown as in training.
        warnings.filterwarnings("ignore", overlap.SHARED, DataWarning)
        info, examples = data_examples.learn(splits, config.data, task.name, task.features)
    task.check_data(resolved, info, examples)
    report = {
        name: {
            "origin": split.origin,
            "examples": len(split),
            "in_train": _in_train(split, splits.train, info),
            **_feature_descriptions(examples[name], info),
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
        return overlap.num_duplicates(train, info.features)
    return int(overlap.shared_indices(train, split, info.features).size)


def _feature_descriptions(examples: Examples, info: DataInfo) -> dict[str, Any]:
    """Returns the descriptions of all features by topic, merging topics that several features have."""
    topics: dict[str, Any] = {}
    for name, encoded in examples.encoded.items():
        for topic, content in info.features[name].describe(name, examples.raw.column(name), encoded).items():
            topics[topic] = {**topics.get(topic, {}), **content}
    return topics


def draw_augmentations(config: RunConfig, info: DataInfo, examples: Examples, folder: Path) -> list[Path]:
    """Draws a grid for each augmentation of the config, and one for all of them combined.

    A row is one training image: first the original, then versions with the seeds of the first epochs.

    Returns:
        The files, `FOLDER/NAME.png`.

    Raises:
        UserError: an augmentation needs TensorFlow Addons, which is missing; a file cannot be written (4).
    """
    changes = config.data.augment if isinstance(config.data, ImageOptions) else []
    feature = info.features.get("image")
    if not isinstance(feature, Image) or not changes:
        return []
    indices = load_task(config).sample_indices(examples.raw, ROWS)
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
    with literal_text():
        figure.suptitle(f"{title}; originals on the left", fontsize=9)
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, image in zip(axes.flat, grid.reshape(-1, *grid.shape[2:]), strict=True):
            axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            FigureCanvasAgg(figure).print_png(str(path))
    return path


def size_range(sizes: Mapping[str, int]) -> str:
    """Returns the range of image sizes, human-readable.

    Examples:
        >>> size_range({"8 x 6": 3, "4 x 9": 1})
        '4 to 8 x 6 to 9'
    """
    if len(sizes) == 1:
        return next(iter(sizes))
    sides = [tuple(map(int, size.split(" x "))) for size in sizes]
    heights, widths = zip(*sides, strict=True)
    return f"{min(heights)} to {max(heights)} x {min(widths)} to {max(widths)}"
