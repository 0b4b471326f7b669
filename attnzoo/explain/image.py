"""Where an image classifier attends, as data and as pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from attnzoo.data import image as image_ops
from attnzoo.data.bad_records import BadRecord
from attnzoo.data.image_files import read_header
from attnzoo.data.text_files import object_array
from attnzoo.errors import UserError
from attnzoo.info import IMAGE_CLASSIFICATION
from attnzoo.run_dir import chosen_split, load_trained
from attnzoo.tasks import image_attention
from attnzoo.tasks.attended import choose_layer
from attnzoo.tensors import disk_errors

DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class ImageAttention:
    """Where a classifier attended in an image.

    Attributes:
        image: path of the file, or the number of an example.
        pixels: <uint8>[height, width, channels], what the model saw of it.
        weights: <float32>[rows, columns], the attention that each place of the feature map received.
        layer: whose attention it is.
        label: what the model says.
        probabilities: by label, 0 to 1.
        true_label: of an example of a split, else None.
    """

    image: str
    pixels: np.ndarray
    weights: np.ndarray
    layer: str
    label: str
    probabilities: dict[str, float]
    true_label: str | None

    @property
    def said(self) -> str:
        """The label with its probability and, where it is known, the true one."""
        truth = "" if self.true_label is None else f" (true: {self.true_label})"
        return f"{self.label} {self.probabilities[self.label]:.4f}{truth}"

    def to_json(self) -> str:
        """Returns all but the pixels on one line; weights and probabilities with 6 decimals."""
        values = {
            "image": self.image,
            "weights": self.weights.astype(float).round(DECIMALS).tolist(),
            "layer": self.layer,
            "label": self.label,
            "probability": round(self.probabilities[self.label], DECIMALS),
            "probabilities": {name: round(value, DECIMALS) for name, value in self.probabilities.items()},
            "true_label": self.true_label,
        }
        return json.dumps(values, ensure_ascii=False)


def attend_images(
    folder: Path,
    paths: Sequence[str] = (),
    layer: str | None = None,
    count: int = 5,
    split: str | None = None,
) -> list[ImageAttention]:
    """Classifies images and says where the model attended.

    Args:
        folder: a run of an image classifier.
        paths: image files; none for the first examples of a split.
        layer: name of the attention; None for the one nearest to the output.
        count: number of examples where no file is given.
        split: their split; None for test, or validation where there is no test.

    Raises:
        UserError: no such run, split or layer, another task, a file that is no image (2), damaged weights
            (4).
    """
    trained = load_trained(folder)
    info = trained.info
    if info.task != IMAGE_CLASSIFICATION:
        raise UserError(f"{folder}: a run of {info.task}; only image classifiers can be asked this.")
    attend = image_attention.attender(trained.answering, info, layer)
    truth: list[str | None] = [None] * len(paths)
    if paths:
        column, names = _readable(paths, info.image_shape[2]), list(paths)
    else:
        _, examples = chosen_split(trained, split)
        column = examples.columns["image"][:count]
        truth = [info.labels[label] for label in examples.columns["label"][:count]]
        names = [item if isinstance(item, str) else f"number {index}" for index, item in enumerate(column)]
    pixels = image_attention.first_images(column, info, len(column))
    return [
        ImageAttention(
            image=names[index],
            pixels=pixels[index],
            weights=one.weights,
            layer=choose_layer(trained.answering, layer),
            label=info.labels[int(one.probabilities.argmax())],
            probabilities=dict(zip(info.labels, map(float, one.probabilities), strict=True)),
            true_label=truth[index],
        )
        for index, one in enumerate(attend(pixels))
    ]


def _readable(paths: Sequence[str], channels: int) -> np.ndarray:
    """Returns the paths of files that are all images.

    Raises:
        BadRecord: the first that is not.
    """
    for path in paths:
        read_header(path)
    column = object_array(list(paths))
    bad: BadRecord | None = next(image_ops.undecodable(column, channels, ""), None)
    if bad is not None:
        raise bad
    return column


def draw_image(one: ImageAttention, path: Path) -> None:
    """Draws the image and, beside it, the image with the attention over it, as PNG.

    Raises:
        UserError: the file cannot be written (4).
    """
    picture = image_attention.draw(one.pixels[None], [one.weights], [one.said])
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(picture).numpy())
