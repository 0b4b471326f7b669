"""`attnzoo data inspect`: statistics of a config's data, and pictures of images and their augmentation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.config.base import Section
from attnzoo.config.sections import DataOptions
from attnzoo.data import examples as data_examples
from attnzoo.data import overlap
from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.errors import DataWarning
from attnzoo.features.boxes import Boxes
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.image_data_options import ImageOptions
from attnzoo.features.info import DataInfo
from attnzoo.images import augmentation
from attnzoo.images.image_changes import to_float
from attnzoo.inspection import box_pictures
from attnzoo.pictures import literal_text, save_picture
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
        texts `tokens` (feature -> lengths), for numbers `numbers` (feature -> quantiles, mean, std), for
        boxes what `Boxes.describe` gives.

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
            "examples": len(examples[name]),
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


def draw(config: RunConfig, info: DataInfo, examples: Examples, folder: Path) -> list[Path]:
    """Draws what training makes of images: a grid for each augmentation, and one for all of them combined.

    A row is one training image: first the original, then versions with the seeds of the first epochs. Boxes
    are drawn over the images; then there are also a grid of images with classes, and statistics of the boxes.

    Returns:
        The files, `FOLDER/NAME.png`.

    Raises:
        UserError: an augmentation needs TensorFlow Addons, which is missing; a file cannot be written (4).
    """
    image, boxes = info.features.get("image"), info.features.get("boxes")
    if not isinstance(image, Image):
        return []
    drawn = []
    if isinstance(boxes, Boxes):
        drawn += box_pictures.draw(config.name, image, boxes, examples, folder)
    changes = config.data.augment if isinstance(config.data, ImageOptions) else []
    if not changes:
        return drawn
    indices = (
        box_pictures.with_objects(examples, ROWS)
        if isinstance(boxes, Boxes)
        else load_task(config).sample_indices(examples.raw, ROWS)
    )
    values = augmented_values(info, examples, indices)
    grids: dict[str, list[Section]] = {change.name: [change] for change in changes}
    if len(changes) > 1:
        grids["all"] = list(changes)
    for name, chosen in grids.items():
        options = config.data.model_copy(update={"augment": chosen})
        columns = versions(values, options, info, config.seed)
        title = f"{config.name}: {name}; originals on the left"
        drawn.append(_save_grid(columns, folder / f"{name}.png", title, boxes))
    return drawn


def augmented_values(info: DataInfo, examples: Examples, indices: np.ndarray) -> dict[str, tf.Tensor]:
    """Returns the features of training images that augmentation changes, images as <float32> in 0 to 1."""
    values = {}
    for name, feature in info.features.items():
        if feature.is_augmented:
            encoded = examples.encoded[name]
            batch = tf.constant(feature.host_batch(encoded, indices.astype(np.int32), None))
            values[name] = feature.graph_batch(encoded)(batch)
    return {**values, "image": to_float(values["image"])}


def versions(
    values: Mapping[str, tf.Tensor], options: DataOptions, info: DataInfo, seed: int
) -> list[dict[str, tf.Tensor]]:
    """Returns the values as they are, and as augmented with the seeds of the first epochs."""
    columns = [dict(values)]
    for epoch in range(COLUMNS - 1):
        changed = dict(values)
        seeds = augmentation.seeds(seed, epoch, tf.range(tf.shape(values["image"])[0]))
        for name in values:
            changed |= info.features[name].augment({one: changed[one] for one in values}, options, seeds)
        columns.append(changed)
    return columns


def _save_grid(
    columns: Sequence[Mapping[str, tf.Tensor]], path: Path, title: str, boxes: Feature | None
) -> Path:
    """Writes a picture with a column for each of the values, boxes over images, and returns its path."""
    from matplotlib.figure import Figure

    count = columns[0]["image"].shape[0]
    figure = Figure(figsize=(1.2 * len(columns), 1.2 * count + 0.6), layout="constrained")
    with literal_text():
        figure.suptitle(title, fontsize=9)
        if isinstance(boxes, Boxes):
            figure.set_size_inches(1.7 * len(columns), 1.7 * count + 0.8)
            box_pictures.add_legend(figure, boxes)
        axes = figure.subplots(count, len(columns), squeeze=False)
        for axes_of_column, column in zip(axes.T, columns, strict=True):
            images = np.clip(column["image"], 0.0, 1.0)
            for row, (axis, image) in enumerate(zip(axes_of_column, images, strict=True)):
                axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
                axis.set_axis_off()
                if "boxes" in column:
                    box_pictures.outline(axis, column["boxes"][row].numpy(), image.shape)
        return save_picture(figure, path)


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
