"""Changes of images by TensorFlow Addons; what they take and give: see `image_changes`."""

from __future__ import annotations

import math

import tensorflow as tf

from attnzoo import addons
from attnzoo.config import augmentation as options_of

KNOTS = 4
"""Rows and columns of the random field of an elastic warp."""


def project(images: tf.Tensor, transforms: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moves pixels by projective maps from places in the result to places in the image; `fill` moves in.

    Args:
        images: <float32>[batch, height, width, channels].
        transforms: <float32>[batch, 8], rows as of `tensorflow_addons.image.transform`.
        fill: <float32>[channels].
    """
    moved = addons.load("image.transform_ops").transform(images - fill, transforms, interpolation="bilinear")
    return tf.ensure_shape(moved + fill, images.shape)


def rotate(images, draws, options: options_of.Rotate, fill):
    """Turns about the centre by draw 0."""
    return project(images, rotations(images, options.degrees * (2.0 * draws[:, 0] - 1.0)), fill)


def rotations(images, degrees) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that turn about the centre, degrees <float32>[batch]."""
    height, width = (float(side) for side in images.shape[1:3])
    to_maps = addons.load("image.transform_ops").angles_to_projective_transforms
    return to_maps(degrees * (math.pi / 180.0), height, width)


def shear(images, draws, options: options_of.Shear, fill):
    """Slants rows by draw 0 and columns by draw 1, about the centre."""
    slopes = options.slope * (2.0 * draws[:, :2] - 1.0)
    return project(images, shears(images, slopes[:, 0], slopes[:, 1]), fill)


def shears(images, row_slopes, column_slopes) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that slant about the centre, slopes <float32>[batch]."""
    height, width = images.shape[1:3]
    zero, one = tf.zeros_like(row_slopes), tf.ones_like(row_slopes)
    right, down = -row_slopes * (height - 1) / 2, -column_slopes * (width - 1) / 2
    return tf.stack([one, row_slopes, right, column_slopes, one, down, zero, zero], axis=1)


def translate(images, draws, options: options_of.Translate, fill):
    """Moves by draw 0 to the right and draw 1 down, in parts of pixels."""
    height, width = images.shape[1:3]
    moves = options.fraction * (2.0 * draws[:, :2] - 1.0) * [float(width), float(height)]  # [batch, 2]
    return project(images, translations(moves[:, 0], moves[:, 1]), fill)


def translations(right, down) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that move by pixels <float32>[batch]."""
    zero, one = tf.zeros_like(right), tf.ones_like(right)
    return tf.stack([one, zero, -right, zero, one, -down, zero, zero], axis=1)


def equalize(images, draws, options: options_of.Equalize, fill):
    """Makes the values of each channel equally frequent where draw 0 is below `probability`."""
    chosen = draws[:, 0, None, None, None] < options.probability
    return tf.where(chosen, equalized(images), images)


def equalized(images: tf.Tensor) -> tf.Tensor:
    """Returns images whose 256 levels are equally frequent in each channel."""
    levels = tf.cast(tf.round(255.0 * images), tf.uint8)
    changed = addons.load("image.color_ops").equalize(levels)
    return tf.ensure_shape(tf.cast(changed, tf.float32), images.shape) / 255.0


def elastic(images, draws, options: options_of.Elastic, fill):
    """Warps by a smooth field through random knots, draws 0 to 31; the border repeats."""
    height, width = images.shape[1:3]
    knots = tf.reshape(2.0 * draws - 1.0, [-1, KNOTS, KNOTS, 2])
    field = tf.image.resize(knots, [height, width], "bicubic") * [
        options.fraction * height,
        options.fraction * width,
    ]
    warped = addons.load("image.dense_image_warp").dense_image_warp(images, field)
    return tf.ensure_shape(warped, images.shape)
