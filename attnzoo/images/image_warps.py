"""Changes of images that move pixels by parts of pixels; what they take and return: see `image_changes`.

All but `elastic` are projective maps, by Keras's stateless operations. Keras's own layers (`RandomRotation`
and others) draw from a state, some once for a whole batch, and know no color by channel to fill with.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.images.image_changes import exactly

KNOTS = 4
"""Rows and columns of the random field of an elastic warp."""
CORNERS = 4


def project(images: tf.Tensor, transforms: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moves pixels by projective maps from places in the result to places in the image; `fill` moves in.

    Args:
        images: <float32>[batch, height, width, channels].
        transforms: <float32>[batch, 8], rows as of `keras.ops.image.affine_transform`.
        fill: <float32>[channels] or [height, width, channels].
    """
    moved = keras.ops.image.affine_transform(
        images - fill, transforms, interpolation="bilinear", fill_mode="constant", fill_value=0.0
    )
    return moved + fill


def rotate(images, draws, options: options_of.Rotate, fill):
    """Rotates about the center by draw 0."""
    return project(images, rotate_transforms(images, draws, options), fill)


def rotate_transforms(images, draws, options: options_of.Rotate) -> tf.Tensor:
    """Returns the transforms <float32>[batch, 8] of `rotate`."""
    return rotations(images, math.radians(options.degrees) * (2.0 * draws[:, 0] - 1.0))


def rotations(images, angles) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that rotate about the center, radians <float32>[batch]."""
    cosine, sine = exactly(tf.cos, angles), exactly(tf.sin, angles)
    return around_center(images, cosine, -sine, sine, cosine)


def around_center(images, right_by_right, right_by_down, down_by_right, down_by_down) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] of 2 x 2 matrices that leave the center where it is.

    Args:
        images: give the size.
        right_by_right, right_by_down, down_by_right, down_by_down: <float32>[batch], how far a place in the
            image is from the center, for each pixel by which the place in the result is.
    """
    height, width = (float(side) - 1.0 for side in images.shape[1:3])
    right = (width - (right_by_right * width + right_by_down * height)) / 2.0
    down = (height - (down_by_right * width + down_by_down * height)) / 2.0
    zero = tf.zeros_like(right)
    return tf.stack(
        [right_by_right, right_by_down, right, down_by_right, down_by_down, down, zero, zero], axis=1
    )


def shear(images, draws, options: options_of.Shear, fill):
    """Slants rows by draw 0 and columns by draw 1, about the center."""
    return project(images, shear_transforms(images, draws, options), fill)


def shear_transforms(images, draws, options: options_of.Shear) -> tf.Tensor:
    """Returns the transforms <float32>[batch, 8] of `shear`."""
    slopes = options.slope * (2.0 * draws[:, :2] - 1.0)
    return shears(images, slopes[:, 0], slopes[:, 1])


def shears(images, row_slopes, column_slopes) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that slant about the center, slopes <float32>[batch]."""
    one = tf.ones_like(row_slopes)
    return around_center(images, one, row_slopes, column_slopes, one)


def zoom(images, draws, options: options_of.Zoom, fill):
    """Makes larger or smaller about the center by draw 0, sizes being uniform in their logarithm."""
    return project(images, zoom_transforms(images, draws, options), fill)


def zoom_transforms(images, draws, options: options_of.Zoom) -> tf.Tensor:
    """Returns the transforms <float32>[batch, 8] of `zoom`."""
    inverse = exactly(tf.exp, (1.0 - 2.0 * draws[:, 0]) * math.log(options.factor))
    zero = tf.zeros_like(inverse)
    return around_center(images, inverse, zero, zero, inverse)


def translate(images, draws, options: options_of.Translate, fill):
    """Moves by draw 0 to the right and draw 1 down, in parts of pixels."""
    return project(images, translate_transforms(images, draws, options), fill)


def translate_transforms(images, draws, options: options_of.Translate) -> tf.Tensor:
    """Returns the transforms <float32>[batch, 8] of `translate`."""
    height, width = images.shape[1:3]
    moves = options.fraction * (2.0 * draws[:, :2] - 1.0) * [float(width), float(height)]  # [batch, 2]
    return translations(moves[:, 0], moves[:, 1])


def translations(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] that move by pixels <float32>[batch]."""
    zero, one = tf.zeros_like(right), tf.ones_like(right)
    return tf.stack([one, zero, -right, zero, one, -down, zero, zero], axis=1)


def perspective(images, draws, options: options_of.Perspective, fill):
    """Moves each corner by two of the draws 0 to 7, and the rest of the image with them."""
    return project(images, perspective_transforms(images, draws, options), fill)


def perspective_transforms(images, draws, options: options_of.Perspective) -> tf.Tensor:
    """Returns the transforms <float32>[batch, 8] of `perspective`."""
    right, down = (float(side) - 1.0 for side in (images.shape[2], images.shape[1]))
    corners = tf.constant([[0.0, 0.0], [right, 0.0], [0.0, down], [right, down]])  # [corner, (right, down)]
    moves = tf.reshape(2.0 * draws - 1.0, [-1, CORNERS, 2]) * [
        options.fraction * right,
        options.fraction * down,
    ]
    x, y = tf.unstack(corners + moves, axis=-1)  # [batch, 4], in the result
    u, v = tf.unstack(tf.broadcast_to(corners, tf.shape(moves)), axis=-1)  # in the image
    one, zero = tf.ones_like(x), tf.zeros_like(x)
    # a0 to a7 of u = (a0 x + a1 y + a2) / (a6 x + a7 y + 1), v = (a3 x + a4 y + a5) / (a6 x + a7 y + 1)
    of_u = tf.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1)  # [batch, 4, 8]
    of_v = tf.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1)
    known = tf.concat([u, v], axis=1)[..., None]  # [batch, 8, 1]
    return tf.linalg.solve(tf.concat([of_u, of_v], axis=1), known)[..., 0]


def elastic(images, draws, options: options_of.Elastic, fill):
    """Warps by a smooth field through random knots, draws 0 to 31; the border repeats."""
    height, width = images.shape[1:3]
    knots = tf.reshape(2.0 * draws - 1.0, [-1, KNOTS, KNOTS, 2])
    field = tf.image.resize(knots, [height, width], "bicubic") * [
        options.fraction * height,
        options.fraction * width,
    ]
    rows = tf.range(height, dtype=tf.float32)[:, None] - field[..., 0]  # [batch, height, width]
    columns = tf.range(width, dtype=tf.float32) - field[..., 1]
    return interpolate(images, rows, columns)


def interpolate(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the pixels at places between pixels, bilinearly; beyond the border it repeats.

    `keras.ops.image.map_coordinates` gives the same at three to five times the time.

    Args:
        images: <float32>[batch, height, width, channels].
        rows, columns: <float32>[batch, height, width], places in the image.
    """
    height, width, channels = images.shape[1:]
    down, right = (width if height > 1 else 0), (1 if width > 1 else 0)  # steps to the next pixel
    row = tf.clip_by_value(tf.floor(rows), 0.0, max(0.0, height - 2.0))
    column = tf.clip_by_value(tf.floor(columns), 0.0, max(0.0, width - 2.0))
    below = tf.clip_by_value(rows - row, 0.0, 1.0)[..., None]
    beside = tf.clip_by_value(columns - column, 0.0, 1.0)[..., None]
    pixels = tf.reshape(images, [-1, height * width, channels])
    places = tf.reshape(tf.cast(row * width + column, tf.int32), [-1, height * width])

    def step(offset: int) -> tf.Tensor:
        return tf.reshape(tf.gather(pixels, places + offset, batch_dims=1), tf.shape(images))

    top = step(0) + beside * (step(right) - step(0))
    bottom = step(down) + beside * (step(down + right) - step(down))
    return top + below * (bottom - top)
