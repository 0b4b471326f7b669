"""Changes of images in plain TensorFlow, each image of a batch by its own draws.

All take images <float32>[batch, height, width, channels] in 0..1, some also <uint8>, `draws`
<float32>[batch, n] uniform in 0..1, the options of the change and the mean color `fill` <float32>[channels],
or [height, width, channels], and return images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from attnzoo.config import augmentation as options_of

# Luma and two axes of color (NTSC): hue is an angle in the plane of the two, saturation a length.
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
MIN_ERASED_AREA = 0.02
MAX_ERASED_ASPECT = 3.3


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Returns pixels <uint8> as <float32> in 0..1; floats stay as they are."""
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images


def to_bytes(images: tf.Tensor) -> tf.Tensor:
    """Returns pixels <float32> in 0..1, clipped to it, as the nearest <uint8>; on a CPU only."""
    # One operation: rounding, clipping and casting apart pass over the pixels four times.
    levels, _, _ = tf.quantization.quantize(images, 0.0, 1.0, tf.quint8)
    return tf.bitcast(levels, tf.uint8)


def exactly(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Returns `function(values)` <float32>, the same wherever in a batch a value is.

    In float32, TensorFlow computes `exp`, `cos` and `sin` of several values at once and those at the end of
    a tensor one by one, by different approximations: they differ in the last bit.
    """
    return tf.cast(function(tf.cast(values, tf.float64)), tf.float32)


def flip(images, draws, options: options_of.Flip, fill):
    """Mirrors left to right where draw 0 is below one half."""
    # TensorFlow is fast at mirroring the middle one of three axes.
    rows = tf.reshape(images, [-1, *images.shape[2:]])  # [batch * height, width, channels]
    return choose(draws[:, 0] < 0.5, tf.reshape(tf.reverse(rows, [1]), tf.shape(images)), images)


def flip_vertical(images, draws, options: options_of.FlipVertical, fill):
    """Mirrors upside down where draw 0 is below one half."""
    return choose(draws[:, 0] < 0.5, tf.reverse(images, [1]), images)


def choose(chosen: tf.Tensor, changed: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Returns the changed images where `chosen` <bool>[batch] is true, the others as they are."""
    # Two axes, as TensorFlow is slow to broadcast over more.
    flat = [tf.reshape(tensor, [-1, math.prod(images.shape[1:])]) for tensor in (changed, images)]
    return tf.reshape(tf.where(chosen[:, None], *flat), tf.shape(images))


def shift(images, draws, options: options_of.Shift, fill):
    """Moves by draw 0 down and draw 1 to the right, by whole pixels; `fill` moves in."""
    for axis in (1, 2):
        size = images.shape[axis]
        steps = shift_steps(size, draws[:, axis - 1], options)  # [batch]
        positions = tf.range(size)[None] - steps[:, None]  # [batch, size]
        moved = tf.gather(images, tf.clip_by_value(positions, 0, size - 1), axis=axis, batch_dims=1)
        inside = (positions >= 0) & (positions < size)
        images = tf.where(inside[:, :, None, None] if axis == 1 else inside[:, None, :, None], moved, fill)
    return images


def shift_steps(size: int, draws: tf.Tensor, options: options_of.Shift) -> tf.Tensor:
    """Returns by how many pixels `shift` moves along a side of `size`, <int32>[batch], for draws [batch]."""
    limit = max(1, int(size * options.fraction))
    return tf.cast(draws * (2 * limit + 1), tf.int32) - limit


def crop(images, draws, options: options_of.Crop, fill):
    """Takes a part, its area by draw 0, its aspect by draw 1, its place by draws 2 and 3, and resizes it.

    Reference: Szegedy et al. 2015, https://arxiv.org/abs/1409.4842
    """
    windows = crop_windows(draws, options)
    return tf.image.crop_and_resize(images, windows, tf.range(tf.shape(images)[0]), images.shape[1:3])


def crop_windows(draws: tf.Tensor, options: options_of.Crop) -> tf.Tensor:
    """Returns the parts that `crop` takes, <float32>[batch, (top, left, bottom, right)], as fractions.

    The centers of the outermost pixels of the image are at 0 and 1.
    """
    area = options.area + (1.0 - options.area) * draws[:, 0]
    aspect = exactly(tf.exp, (2.0 * draws[:, 1] - 1.0) * math.log(options.aspect))
    height = tf.minimum(1.0, tf.sqrt(area * aspect))  # [batch], as a fraction of the image
    width = tf.minimum(1.0, tf.sqrt(area / aspect))
    top, left = (1.0 - height) * draws[:, 2], (1.0 - width) * draws[:, 3]
    return tf.stack([top, left, top + height, left + width], axis=1)


def color(images, draws, options: options_of.Color, fill):
    """Changes brightness, contrast, saturation and hue by draws 0 to 3; gray images have the first two."""
    signed = 2.0 * draws[:, :, None, None, None] - 1.0  # [batch, 4, 1, 1, 1]
    images += options.brightness * signed[:, 0]
    images = blend(
        tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True), images, options.contrast * signed[:, 1]
    )
    if images.shape[-1] == 3:
        factor = 1.0 + options.saturation * signed[:, 2, 0]  # [batch, 1, 1]
        angle = 2.0 * math.pi * options.hue * signed[:, 3, 0]
        cosine, sine = factor * exactly(tf.cos, angle), factor * exactly(tf.sin, angle)
        zero, one = tf.zeros_like(factor), tf.ones_like(factor)
        rotation = tf.concat(
            [
                tf.concat([one, zero, zero], axis=2),
                tf.concat([zero, cosine, -sine], axis=2),
                tf.concat([zero, sine, cosine], axis=2),
            ],
            axis=1,
        )  # [batch, 3, 3]
        matrices = np.linalg.inv(YIQ).astype(np.float32) @ rotation @ YIQ
        images = tf.einsum("bhwc,bdc->bhwd", images, matrices)
    return tf.clip_by_value(images, 0.0, 1.0)


def blend(flat: tf.Tensor, images: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    """Returns `images` as far from `flat` as before times 1 + `change`."""
    return flat + (1.0 + change) * (images - flat)


def cutout(images, draws, options: options_of.Cutout, fill):
    """Puts `fill` into a square whose center is at draws 0 and 1; it may reach over the border.

    Reference: DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552
    """
    height, width = images.shape[1:3]
    side = max(1.0, options.fraction * min(height, width))
    return tf.where(rectangle(images, draws[:, 0], draws[:, 1], side / height, side / width), fill, images)


def erase(images, draws, options: options_of.Erase, fill):
    """Puts noise into a rectangle where draw 0 is below `probability`.

    Area, aspect and place are draws 1 to 4, the noise all others: height * width * channels.

    Reference: Zhong et al. 2020, https://arxiv.org/abs/1708.04896
    """
    area = MIN_ERASED_AREA + max(0.0, options.area - MIN_ERASED_AREA) * draws[:, 1]
    aspect = exactly(tf.exp, (2.0 * draws[:, 2] - 1.0) * math.log(MAX_ERASED_ASPECT))
    height = tf.minimum(1.0, tf.sqrt(area * aspect))
    width = tf.minimum(1.0, tf.sqrt(area / aspect))
    row = height / 2 + (1.0 - height) * draws[:, 3]
    column = width / 2 + (1.0 - width) * draws[:, 4]
    chosen = draws[:, 0, None, None, None] < options.probability
    noise = tf.reshape(draws[:, 5:], tf.shape(images))
    return tf.where(chosen & rectangle(images, row, column, height, width), noise, images)


def rectangle(images, row, column, height, width) -> tf.Tensor:
    """Returns where a rectangle lies in each image, <bool>[batch, height, width, 1].

    Args:
        images: give the size.
        row, column: of its center, <float32>[batch], as a fraction of the image, 0 to 1.
        height, width: of it, <float32>[batch] or a number, as a fraction of the image.
    """
    rows = (tf.range(images.shape[1], dtype=tf.float32) + 0.5) / images.shape[1]
    columns = (tf.range(images.shape[2], dtype=tf.float32) + 0.5) / images.shape[2]
    half_height, half_width = (tf.reshape(tf.cast(side, tf.float32) / 2, [-1, 1]) for side in (height, width))
    in_rows = tf.abs(rows[None] - row[:, None]) < half_height  # [batch, height]
    in_columns = tf.abs(columns[None] - column[:, None]) < half_width  # [batch, width]
    return in_rows[:, :, None, None] & in_columns[:, None, :, None]
