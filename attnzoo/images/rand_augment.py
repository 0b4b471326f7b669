"""RandAugment: several changes in a row, drawn for each image; takes and gives what `image_changes` says."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.images import image_warps
from attnzoo.images.image_changes import blend

DRAWS = 2
"""Draws of one change: which one it is, and whether it is for more or for less."""

MOST = 30.0
MOST_DEGREES, MOST_SLOPE, MOST_MOVE, MOST_BLEND, MOST_BITS = 30.0, 0.3, 0.45, 0.9, 4.0
"""At magnitude 30: rotation, slope of a shear, move as a share of a side, change of colour, bits lost."""


def rand_augment(images, draws, options: options_of.RandAugment, fill):
    """Applies `count` of the paper's 14 changes to each image, all with the same magnitude.

    Reference: Cubuk et al. 2020, https://arxiv.org/abs/1909.13719
    """
    strength = options.magnitude / MOST

    def change(item: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, numbers = item[0][None], item[1]
        for step in range(options.count):
            which, way = numbers[DRAWS * step], numbers[DRAWS * step + 1]
            image = _one(image, which, tf.where(way < 0.5, -strength, strength), fill)
        return image[0]

    specification = tf.TensorSpec(images.shape[1:], tf.float32)
    return tf.map_fn(change, (images, draws), fn_output_signature=specification)


def _one(image: tf.Tensor, which: tf.Tensor, signed: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Applies the change that `which` in 0..1 names, `signed` in -1..1, to one image (batch of 1)."""
    height, width = image.shape[1:3]
    amount, zero = signed[None], tf.zeros([1])  # [1]

    def blended(flat: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(blend(flat, image, MOST_BLEND * signed), 0.0, 1.0)

    def rotated() -> tf.Tensor:
        return image_warps.project(image, image_warps.rotations(image, MOST_DEGREES * amount), fill)

    def sheared(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        slopes = (MOST_SLOPE * rows, MOST_SLOPE * columns)
        return image_warps.project(image, image_warps.shears(image, *slopes), fill)

    def moved(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
        pixels = (MOST_MOVE * width * right, MOST_MOVE * height * down)
        return image_warps.project(image, image_warps.translations(*pixels), fill)

    branches: list[Callable[[], tf.Tensor]] = [
        lambda: image,
        lambda: stretch(image),
        lambda: image_warps.equalized(image),
        rotated,
        lambda: tf.where(image < 1.0 - tf.abs(signed), image, 1.0 - image),
        lambda: blended(tf.reduce_mean(image, axis=3, keepdims=True)),
        lambda: posterize(image, 8.0 - MOST_BITS * tf.abs(signed)),
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


def stretch(images: tf.Tensor) -> tf.Tensor:
    """Returns images whose channels each reach from 0 to 1; flat ones stay."""
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    span = tf.reduce_max(images, axis=[1, 2], keepdims=True) - low
    return tf.where(span > 0.0, tf.math.divide_no_nan(images - low, span), images)


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns images of 256 levels of which the highest `bits`, rounded down, are left."""
    step = tf.pow(2.0, 8.0 - tf.floor(bits))
    return tf.floor(tf.round(255.0 * images) / step) * step / 255.0


def smooth(images: tf.Tensor) -> tf.Tensor:
    """Returns images smoothed by a 3 x 3 kernel with a weight of 5 in its centre; the border stays."""
    kernel = tf.tensor_scatter_nd_update(tf.ones([3, 3]), [[1, 1]], [5.0]) / 13.0
    kernel = tf.repeat(kernel[:, :, None, None], images.shape[-1], axis=2)  # [3, 3, channels, 1]
    inner = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "VALID")
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
    return tf.where(tf.pad(tf.ones_like(inner, tf.bool), padding), tf.pad(inner, padding), images)
