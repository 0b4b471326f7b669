"""RandAugment: several changes in a row, drawn for each image; see `image_changes` for its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.images import image_warps
from attnzoo.images.image_changes import blend
from attnzoo.images.image_filters import equalized, posterize, smooth, stretch

DRAWS = 2
"""Draws of one change: which one it is, and its direction."""

MAX_MAGNITUDE = 30.0
MAX_DEGREES, MAX_SLOPE, MAX_MOVE, MAX_BLEND, MAX_BITS = 30.0, 0.3, 0.45, 0.9, 4.0
"""At magnitude 30: rotation, slope of a shear, move as a fraction of a side, change of color, bits lost."""


def rand_augment(images, draws, options: options_of.RandAugment, fill):
    """Applies `count` of the paper's 14 changes to each image, all with the same magnitude.

    Keras's `RandAugment` draws the kinds of change once for a whole batch, and computes all of them.

    Reference: Cubuk et al. 2020, https://arxiv.org/abs/1909.13719
    """
    strength = options.magnitude / MAX_MAGNITUDE

    def change(item: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, numbers = item[0][None], item[1]
        for step in range(options.count):
            which, direction = numbers[DRAWS * step], numbers[DRAWS * step + 1]
            image = _one(image, which, tf.where(direction < 0.5, -strength, strength), fill)
        return image[0]

    specification = tf.TensorSpec(images.shape[1:], tf.float32)
    return tf.map_fn(change, (images, draws), fn_output_signature=specification)


def _one(image: tf.Tensor, which: tf.Tensor, signed: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Applies the change that `which` in 0..1 names, `signed` in -1..1, to one image (batch of 1)."""
    height, width = image.shape[1:3]
    amount, zero = signed[None], tf.zeros([1])  # [1]

    def blended(flat: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(blend(flat, image, MAX_BLEND * signed), 0.0, 1.0)

    def rotated() -> tf.Tensor:
        return image_warps.project(
            image, image_warps.rotations(image, math.radians(MAX_DEGREES) * amount), fill
        )

    def sheared(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        slopes = (MAX_SLOPE * rows, MAX_SLOPE * columns)
        return image_warps.project(image, image_warps.shears(image, *slopes), fill)

    def moved(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
        pixels = (MAX_MOVE * width * right, MAX_MOVE * height * down)
        return image_warps.project(image, image_warps.translations(*pixels), fill)

    branches: list[Callable[[], tf.Tensor]] = [
        lambda: image,
        lambda: stretch(image),
        lambda: equalized(image),
        rotated,
        lambda: tf.where(image < 1.0 - tf.abs(signed), image, 1.0 - image),
        lambda: blended(tf.reduce_mean(image, axis=3, keepdims=True)),
        lambda: posterize(image, 8.0 - MAX_BITS * tf.abs(signed)),
        lambda: blended(tf.reduce_mean(image, axis=[1, 2, 3], keepdims=True)),
        lambda: blended(tf.zeros_like(image)),
        lambda: blended(smooth(image)),
        lambda: sheared(amount, zero),
        lambda: sheared(zero, amount),
        lambda: moved(amount, zero),
        lambda: moved(zero, amount),
    ]
    index = tf.minimum(tf.cast(which * len(branches), tf.int32), len(branches) - 1)
    return tf.ensure_shape(tf.switch_case(index, branches), image.shape)
