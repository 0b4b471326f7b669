"""Where a model of one image attends: one weight for each place of a feature map, drawn over the image."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.explain.view import (
    AttentionMap,
    AttentionView,
    attention_received,
    choose_layer,
    rounded,
    target_name,
)
from attnzoo.features.feature import Column, Target
from attnzoo.features.image import Image, shown_name
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors
from attnzoo.images import pixels
from attnzoo.images.decoding import PixelFormat
from attnzoo.images.image_files import read_header
from attnzoo.layers import attention_weights
from attnzoo.pictures import BOARD_INCHES, DOTS_AN_INCH, pixels_of, plain_texts
from attnzoo.records.text_files import object_array

BATCH_SIZE = 16
"""Images at once: all weights of a layer are in memory, [batch, heads, positions, positions]."""
OPACITY = 0.55
"""Of the colors over an image where the weight is the largest."""
COLORS = "inferno"
TITLE_INCHES = 0.42
LOWEST, HIGHEST = 0.2, 6.0
"""Inches of a picture, for images far from square."""
TITLE_CHARACTERS = 46


class Attended(NamedTuple):
    """What a model makes of one image.

    Attributes:
        values: <float32>[outputs], see `features.feature.Target.activate`.
        weights: <float32>[rows, columns], the attention that each place of the feature map receives.
    """

    values: np.ndarray
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class ImageAttention(AttentionMap):
    """Where a model attended in an image.

    Attributes:
        image: path of the file, or the number of an example.
        pixels: [height, width, channels], what the model saw of it, as `Image.graph_batch` gives it.
        weights: <float32>[rows, columns], the attention that each place of the feature map received.
        layer: whose attention it is.
        target: what the model gives.
        values: of it, <float32>[outputs].
        truth: the true value of an example of a split, else None.
    """

    image: str
    pixels: np.ndarray
    weights: np.ndarray
    layer: str
    target: Target
    values: np.ndarray
    truth: Any

    @property
    def said(self) -> str:
        """What the model says and, where it is known, the truth."""
        answer, *truth = self.said_in_lines
        return answer + "".join(f" ({line})" for line in truth)

    @property
    def said_in_lines(self) -> list[str]:
        """What the model says and, where it is known, the truth in a second line."""
        answer = ", ".join(" ".join(pair).rstrip() for pair in self.target.said(self.values))
        return [answer] if self.truth is None else [answer, f"true: {self.target.shown(self.truth)}"]

    def to_json(self) -> str:
        """Returns all but the pixels on one line; weights and probabilities with 6 decimals."""
        values = {
            "image": self.image,
            "weights": self.weights.astype(float).tolist(),
            "layer": self.layer,
            **self.target.answer(self.values),
            **self.target.truth(self.truth),
        }
        return json.dumps(rounded(values), ensure_ascii=False)


class ImageView(AttentionView[ImageAttention]):
    """Shows where a model of one image attends. A place's weight is the mean over heads and queries.

    Args:
        model: gives outputs of one target for `image`.
        info: what is known of the data.
        layer: whose attention to take; None for the one nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or none of this name.
    """

    def __init__(self, model: keras.Model, info: DataInfo, layer: str | None = None) -> None:
        self.layer = choose_layer(model, layer)
        self.target_name = target_name(info)
        self.target: Target = info.features[self.target_name]
        self.feature: Image = info.features["image"]
        self.sides = map_sides(model, self.layer)
        explained = attention_weights.with_attention_weights(model, self.layer)

        @tf.function(autograph=False)
        def run(images):
            outputs, weights = explained({"image": self.feature.prepare(images)}, training=False)
            everywhere = tf.ones_like(weights[:, 0, 0], tf.bool)
            return self.target.activate(tf.cast(outputs, tf.float32)), attention_received(weights, everywhere)

        self._run = run

    def attend(self, images: np.ndarray) -> list[Attended]:
        """Returns what the model makes of images [count, height, width, channels]."""
        results: list[Attended] = []
        for start in range(0, len(images), BATCH_SIZE):
            values, weights = self._run(tf.constant(images[start : start + BATCH_SIZE]))
            results += map(Attended, values.numpy(), weights.numpy().reshape(-1, *self.sides))
        return results

    def pictures(self, examples: Examples, indices: np.ndarray) -> np.ndarray:
        """Draws images of a split with where the model attends."""
        images = self.feature.first(examples.encoded["image"][indices])
        results = self.attend(images)
        truths = examples.encoded[self.target_name][indices]
        titles = [
            (" ".join(self._short(one.values)), f"true: {self.target.shown(truth)}")
            for one, truth in zip(results, truths, strict=True)
        ]
        each = zip(images, results, titles, strict=True)
        return np.stack([draw(image, one.weights, title) for image, one, title in each])

    def _short(self, values: np.ndarray) -> Iterator[str]:
        for said, sure in self.target.said(values):
            yield f"{said} {float(sure):.2f}" if sure else said

    def of_inputs(self, inputs: Sequence[str]) -> list[ImageAttention]:
        """Returns where the model attends in image files."""
        column = readable(inputs, self.feature.pixel_format)
        return self._of_images(column, list(inputs), [None] * len(inputs))

    def of_split(self, split: Split, indices: np.ndarray) -> list[ImageAttention]:
        """Returns where the model attends in images of a split."""
        chosen, column = split.take(indices), split.column("image")
        names = [shown_name(column, index) for index in map(int, indices)]
        return self._of_images(chosen.column("image"), names, list(chosen.column(self.target_name)))

    def _of_images(self, column: Column, names: Sequence[str], truth: Sequence[Any]) -> list[ImageAttention]:
        images = self.feature.first(column)
        return [
            ImageAttention(
                image=names[index],
                pixels=images[index],
                weights=one.weights,
                layer=self.layer,
                target=self.target,
                values=one.values,
                truth=truth[index],
            )
            for index, one in enumerate(self.attend(images))
        ]

    def write(self, maps: Sequence[ImageAttention], folder: Path, title: str) -> list[Path]:
        """Writes for each image a picture of it and, beside it, of the attention over it, as PNG."""
        paths = [folder / f"{number}.png" for number in range(1, len(maps) + 1)]
        for one, path in zip(maps, paths, strict=True):
            picture = draw(one.pixels, one.weights, one.said_in_lines)
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tf.io.encode_png(picture).numpy())
        return paths

    def lines(self, maps: Sequence[ImageAttention], paths: Sequence[Path], in_colors: bool) -> Iterator[str]:
        """Yields what the model says of each image, and where its picture is."""
        for one, path in zip(maps, paths, strict=True):
            yield f"{one.image}  ->  {one.said}\n  {path}\n"


def readable(paths: Sequence[str], to: PixelFormat) -> Column:
    """Returns the column of paths of files that are all images.

    Raises:
        BadRecord: the first that is not.
    """
    for path in paths:
        read_header(path)
    column = object_array(list(paths))
    for bad in pixels.undecodable(column, to, ""):
        raise bad
    return column


def map_sides(model: keras.Model, layer: str) -> tuple[int, int]:
    """Returns rows and columns of the feature map that an attention gives, or pools: the last one."""
    names = [layer, *(other.name for other in reversed(model.layers))]
    shapes = (model.get_layer(name).output.shape for name in names)
    _, rows, columns, _ = next(shape for shape in shapes if len(shape) == 4)
    return int(rows), int(columns)


def over_image(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns an image in gray with the weights as colors over it, the deeper the larger.

    Args:
        image: <uint8>, or <float32> in 0..1, [height, width, channels].
        weights: <float32>[rows, columns].

    Returns:
        <float32>[height, width, 3] in 0..1.
    """
    import matplotlib

    gray = np.repeat(_brightness(image).mean(axis=-1, keepdims=True), 3, axis=-1)
    smooth = tf.image.resize(weights[..., None], image.shape[:2], "bicubic").numpy()[..., 0]
    shares = np.clip(smooth / max(float(weights.max(initial=0.0)), 1e-30), 0.0, 1.0)
    colors = matplotlib.colormaps[COLORS](shares)[..., :3]
    opacity = OPACITY * shares[..., None]
    return ((1.0 - opacity) * gray + opacity * colors).astype(np.float32)


def _brightness(image: np.ndarray) -> np.ndarray:
    """Returns pixels in 0..1."""
    return image / 255.0 if image.dtype == np.uint8 else image


def draw(image: np.ndarray, weights: np.ndarray, title: Sequence[str]) -> np.ndarray:
    """Draws an image, and beside it the image with the attention over it, under a title.

    Args:
        image: <uint8>, or <float32> in 0..1, [height, width, channels].
        weights: <float32>[rows, columns], the attention.
        title: its lines.

    Returns:
        <uint8>[height, width, 3], as wide as TensorBoard shows it.
    """
    from matplotlib.figure import Figure

    plain = np.broadcast_to(_brightness(image), (*image.shape[:2], 3))
    gap = np.ones((image.shape[0], max(1, image.shape[1] // 20), 3))
    both = np.concatenate([plain, gap, over_image(image, weights)], axis=1)
    height = np.clip(BOARD_INCHES * both.shape[0] / both.shape[1], LOWEST, HIGHEST)
    with plain_texts():
        figure = Figure(figsize=(BOARD_INCHES, height + TITLE_INCHES), dpi=DOTS_AN_INCH)
        lines = [
            line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…" for line in title
        ]
        figure.text(0.5, 1.0, "\n".join(lines), ha="center", va="top", fontsize=9)
        axes = figure.add_axes((0.0, 0.0, 1.0, height / (height + TITLE_INCHES)))
        axes.imshow(both, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        return pixels_of(figure)
