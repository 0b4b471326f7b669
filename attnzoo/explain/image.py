"""Attention of image models: one weight for each position of a feature map, drawn over the image."""

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
from attnzoo.features.feature import Column
from attnzoo.features.image import Image, image_name
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.images import pixels
from attnzoo.images.image_files import read_header
from attnzoo.layers import attention_weights
from attnzoo.pictures import DOTS_PER_INCH, TENSORBOARD_INCHES, literal_text, render, write_png
from attnzoo.records.text_files import object_array

BATCH_SIZE = 16
"""All weights of a layer are in memory, [batch, heads, positions, positions]."""
MAX_OPACITY = 0.55
"""Opacity of the colors where the weight is the largest."""
COLORMAP = "inferno"
TITLE_INCHES = 0.42
MIN_INCHES, MAX_INCHES = 0.2, 6.0
"""Height of a picture, for images that are far from square."""
MAX_TITLE_CHARACTERS = 46


class PredictionWithAttention(NamedTuple):
    """A prediction for one image, with attention.

    Attributes:
        values: <float32>[outputs], see `features.feature.Target.activate`.
        weights: <float32>[rows, columns], attention received by each position of the feature map.
    """

    values: np.ndarray
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class ImageAttention(AttentionMap):
    """The attention of a model over an image.

    Attributes:
        image: path of the file, or number of the example.
        pixels: [height, width, channels], the image as the model sees it, see `Image.graph_batch`.
        weights: <float32>[rows, columns], attention received by each position of the feature map.
        layer: name of the attention layer.
        target: the predicted feature.
        values: predicted values <float32>[outputs].
        truth: the true value if it is known, else None.
    """

    image: str
    pixels: np.ndarray
    weights: np.ndarray
    layer: str
    target: Target
    values: np.ndarray
    truth: Any

    @property
    def prediction_text(self) -> str:
        """The prediction and, if it is known, the truth."""
        answer, *truth = self.prediction_lines
        return answer + "".join(f" ({line})" for line in truth)

    @property
    def prediction_lines(self) -> list[str]:
        """The prediction and, if it is known, the truth on a second line."""
        answer = ", ".join(" ".join(pair).rstrip() for pair in self.target.prediction_texts(self.values))
        return [answer] if self.truth is None else [answer, f"true: {self.target.format_value(self.truth)}"]

    def to_json(self) -> str:
        """Returns everything except the pixels as one line of JSON, with numbers rounded to 6 decimals."""
        values = {
            "image": self.image,
            "weights": self.weights.astype(float).tolist(),
            "layer": self.layer,
            **self.target.answer(self.values),
            **self.target.true_answer(self.truth),
        }
        return json.dumps(rounded(values), ensure_ascii=False)


class ImageView(AttentionView[ImageAttention]):
    """Shows where an image model attends. Weights of positions are means over heads and queries.

    Args:
        model: a model with input `image` and one target.
        info: what is known about the data.
        layer: the attention layer to show; None for the one nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or no such layer.
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
            outputs, weights = explained(info.model_inputs({"image": images}), training=False)
            valid = tf.ones_like(weights[:, 0, 0], tf.bool)
            return self.target.activate(tf.cast(outputs, tf.float32)), attention_received(weights, valid)

        self._run = run

    def predict_with_attention(self, images: np.ndarray) -> list[PredictionWithAttention]:
        """Returns predictions with attention for images [count, height, width, channels]."""
        results: list[PredictionWithAttention] = []
        for start in range(0, len(images), BATCH_SIZE):
            values, weights = self._run(tf.constant(images[start : start + BATCH_SIZE]))
            results += map(PredictionWithAttention, values.numpy(), weights.numpy().reshape(-1, *self.sides))
        return results

    def pictures(self, examples: Examples, indices: np.ndarray) -> np.ndarray:
        """Draws images of a split with the model's attention."""
        images = self.feature.first(examples.encoded["image"][indices])
        results = self.predict_with_attention(images)
        truths = examples.encoded[self.target_name][indices]
        titles = [
            (" ".join(self._short(one.values)), f"true: {self.target.format_value(truth)}")
            for one, truth in zip(results, truths, strict=True)
        ]
        panels = zip(images, results, titles, strict=True)
        return np.stack([draw(image, one.weights, title) for image, one, title in panels])

    def _short(self, values: np.ndarray) -> Iterator[str]:
        for answer, probability in self.target.prediction_texts(values):
            yield f"{answer} {float(probability):.2f}" if probability else answer

    def explain_inputs(self, inputs: Sequence[str]) -> list[ImageAttention]:
        """Returns the attention over image files."""
        column = readable_images(inputs, self.feature)
        return self._explain_images(column, list(inputs), [None] * len(inputs))

    def explain_split(self, split: Split, indices: np.ndarray) -> list[ImageAttention]:
        """Returns the attention over images of a split."""
        chosen, column = split.take(indices), split.column("image")
        names = [image_name(column, index) for index in map(int, indices)]
        return self._explain_images(chosen.column("image"), names, list(chosen.column(self.target_name)))

    def _explain_images(
        self, column: Column, names: Sequence[str], truth: Sequence[Any]
    ) -> list[ImageAttention]:
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
            for index, one in enumerate(self.predict_with_attention(images))
        ]

    def write(self, maps: Sequence[ImageAttention], folder: Path, title: str) -> list[Path]:
        """Writes a PNG per image: the image, and next to it the image with the attention over it."""
        paths = [folder / f"{number}.png" for number in range(1, len(maps) + 1)]
        for one, path in zip(maps, paths, strict=True):
            picture = draw(one.pixels, one.weights, one.prediction_lines)
            write_png(picture, path)
        return paths

    def lines(self, maps: Sequence[ImageAttention], paths: Sequence[Path], in_colors: bool) -> Iterator[str]:
        """Yields the prediction for each image and the path of its picture."""
        for one, path in zip(maps, paths, strict=True):
            yield f"{one.image}  ->  {one.prediction_text}\n  {path}\n"


def readable_images(paths: Sequence[str], feature: Image) -> Column:
    """Returns a column of the paths, after checking that all files are images that the feature reads.

    Raises:
        BadRecord: a file is not an image; it is the first one.
    """
    for path in paths:
        read_header(path, max_pixels=feature.max_pixels)
    column = object_array(list(paths))
    for bad in pixels.undecodable(column, feature.pixel_format, ""):
        raise bad
    return column


def map_sides(model: keras.Model, layer: str) -> tuple[int, int]:
    """Returns rows and columns of the feature map that an attention layer outputs, or else pools."""
    names = [layer, *(other.name for other in reversed(model.layers))]
    shapes = (model.get_layer(name).output.shape for name in names)
    _, rows, columns, _ = next(shape for shape in shapes if len(shape) == 4)
    return int(rows), int(columns)


def over_image(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns an image in gray with the weights overlaid as colors.

    Args:
        image: <uint8>, or <float32> in 0..1, [height, width, channels].
        weights: <float32>[rows, columns].

    Returns:
        <float32>[height, width, 3] in 0..1.

    Examples:
        >>> over_image(np.zeros([8, 6, 1], np.uint8), np.ones([2, 2], np.float32)).shape
        (8, 6, 3)
    """
    import matplotlib

    gray = np.repeat(_unit_range(image).mean(axis=-1, keepdims=True), 3, axis=-1)
    smooth = tf.image.resize(weights[..., None], image.shape[:2], "bicubic").numpy()[..., 0]
    relative = np.clip(smooth / max(float(weights.max(initial=0.0)), 1e-30), 0.0, 1.0)
    colors = matplotlib.colormaps[COLORMAP](relative)[..., :3]
    opacity = MAX_OPACITY * relative[..., None]
    return ((1.0 - opacity) * gray + opacity * colors).astype(np.float32)


def _unit_range(image: np.ndarray) -> np.ndarray:
    """Returns pixels scaled to 0..1."""
    return image / 255.0 if image.dtype == np.uint8 else image


def draw(image: np.ndarray, weights: np.ndarray, title: Sequence[str]) -> np.ndarray:
    """Draws an image, and next to it the image with the attention over it, under a title.

    Args:
        image: <uint8>, or <float32> in 0..1, [height, width, channels].
        weights: <float32>[rows, columns], the attention.
        title: lines of the title.

    Returns:
        <uint8>[height, width, 3], as wide as TensorBoard shows it.
    """
    from matplotlib.figure import Figure

    plain = np.broadcast_to(_unit_range(image), (*image.shape[:2], 3))
    gap = np.ones((image.shape[0], max(1, image.shape[1] // 20), 3))
    both = np.concatenate([plain, gap, over_image(image, weights)], axis=1)
    height = np.clip(TENSORBOARD_INCHES * both.shape[0] / both.shape[1], MIN_INCHES, MAX_INCHES)
    with literal_text():
        figure = Figure(figsize=(TENSORBOARD_INCHES, height + TITLE_INCHES), dpi=DOTS_PER_INCH)
        lines = [
            line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1] + "…"
            for line in title
        ]
        figure.text(0.5, 1.0, "\n".join(lines), ha="center", va="top", fontsize=9)
        axes = figure.add_axes((0.0, 0.0, 1.0, height / (height + TITLE_INCHES)))
        axes.imshow(both, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        return render(figure)
