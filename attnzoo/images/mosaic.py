"""Mosaics: four images of a batch in one, with their boxes."""

from __future__ import annotations

import math

import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.images.box_changes import move_boxes, scale_and_move, unite_boxes
from attnzoo.images.image_changes import exactly

IMAGES = 4
"""Images of a mosaic: the one itself top left, those before it in the batch top right and below."""
DRAWS = 3 + IMAGES
"""Draws of one mosaic: whether it is made, its center (two), and the size of each image."""
MARGIN = 0.25
"""Smallest distance of the center from the border, as a fraction of the side."""


def mosaic(
    images: tf.Tensor,
    boxes: tf.Tensor | None,
    draws: tf.Tensor,
    options: options_of.Mosaic,
    fill: tf.Tensor,
    fraction_done: tf.Tensor | float,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Joins each image and the three before it in the batch at a random center, and their boxes.

    Each image has a corner at the center and its own size; what reaches over the center or the border is cut.

    Args:
        images: <float32>[batch, height, width, channels].
        boxes: <float32>[batch, slots, 6], see `box_changes`; None for pixels alone.
        draws: <float32>[batch, 7].
        options: of the change.
        fill: <float32>[channels] or [height, width, channels], the color where no image reaches.
        fraction_done: <float32>[], fraction of training that precedes the batch, 0 to 1.

    Returns:
        Images of the same shape, and boxes with up to four times the slots: the same number whether mosaics
        are made or not.

    Reference: Bochkovskiy et al. 2020, https://arxiv.org/abs/2004.10934
    """
    height, width = images.shape[1:3]
    count = tf.shape(images)[0]
    partners = (tf.range(count)[:, None] - tf.range(IMAGES)) % count  # [batch, 4]
    is_made = (draws[:, 0] < options.probability) & (fraction_done < options.until)  # [batch]
    column, row = (
        tf.round(side * (MARGIN + (1.0 - 2.0 * MARGIN) * draw))
        for side, draw in ((width, draws[:, 1]), (height, draws[:, 2]))
    )
    factors = exactly(tf.exp, (2.0 * draws[:, 3:] - 1.0) * math.log(options.factor))  # [batch, 4]
    joined = tf.cond(
        tf.reduce_any(is_made),
        lambda: _join(images, partners, is_made, column, row, factors, fill),
        lambda: images,
    )
    joined = tf.ensure_shape(joined, images.shape)
    if boxes is None:
        return joined, None
    parts = []
    for number in range(IMAGES):
        is_below, is_right = divmod(number, 2)
        inverse = 1.0 / factors[:, number]
        right = _first_place(width, column, inverse, is_right) - column * inverse * is_right
        down = _first_place(height, row, inverse, is_below) - row * inverse * is_below
        transforms = scale_and_move(inverse, right, inverse, down)
        windows = _windows(column / width, row / height, is_right, is_below)
        others = tf.gather(boxes, partners[:, number])
        moved = move_boxes(others, transforms, height, width, options.min_visible, windows)
        unchanged = boxes if number == 0 else tf.zeros_like(boxes)
        parts.append(tf.where(is_made[:, None, None], moved, unchanged))
    return joined, unite_boxes(parts)


def _join(images, partners, is_made, column, row, factors, fill) -> tf.Tensor:
    """Returns the images, of which those where `is_made` are mosaics; arguments as in `mosaic`."""
    height, width = images.shape[1:3]
    # `crop_and_resize` fills with one number in all channels.
    differences = images - fill

    def join_one(item) -> tf.Tensor:
        number, is_one, partners, column, row, factors = item
        return tf.cond(is_one, lambda: joined(partners, column, row, factors), lambda: differences[number])

    def joined(partners, column, row, factors) -> tf.Tensor:
        parts = []
        for number in range(IMAGES):
            is_below, is_right = divmod(number, 2)
            (left, right), (top, bottom) = (
                _places(side, center, 1.0 / factors[number], is_after)
                for side, center, is_after in ((width, column, is_right), (height, row, is_below))
            )
            window = tf.stack([top, left, bottom, right])[None]
            size = tf.cast(
                [height - row if is_below else row, width - column if is_right else column], tf.int32
            )
            part = tf.image.crop_and_resize(
                differences, window, partners[number : number + 1], size, extrapolation_value=0.0
            )
            parts.append(part[0])
        above, below = tf.concat(parts[:2], axis=1), tf.concat(parts[2:], axis=1)
        return tf.ensure_shape(tf.concat([above, below], axis=0), images.shape[1:])

    items = (tf.range(tf.shape(images)[0]), is_made, partners, column, row, factors)
    specification = tf.TensorSpec(images.shape[1:], tf.float32)
    return tf.map_fn(join_one, items, fn_output_signature=specification) + fill


def _first_place(size: int, center: tf.Tensor, inverse: tf.Tensor, is_after: int) -> tf.Tensor:
    """Returns the place in an image, in pixels, of the first pixel of the part that shows it.

    The part before the center ends with the last pixel of the image, the one after it begins with the first.
    """
    return tf.zeros_like(inverse) if is_after else (size - 1.0) - (center - 1.0) * inverse


def _places(size: int, center: tf.Tensor, inverse: tf.Tensor, is_after: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the places in an image of the first and last pixel of a part; the image is from 0 to 1."""
    first = _first_place(size, center, inverse, is_after)
    last = (size - center - 1.0) * inverse if is_after else tf.fill(tf.shape(inverse), size - 1.0)
    # `crop_and_resize` fills pixels that are beyond the last one by rounding alone.
    return first / max(1.0, size - 1.0), last / max(1.0, size - 1.0) - 1e-6


def _windows(column: tf.Tensor, row: tf.Tensor, is_right: int, is_below: int) -> tf.Tensor:
    """Returns a part of the mosaic as fractions, <float32>[batch, 4], for centers <float32>[batch]."""
    zero, one = tf.zeros_like(column), tf.ones_like(column)
    left, right = (column, one) if is_right else (zero, column)
    top, bottom = (row, one) if is_below else (zero, row)
    return tf.stack([left, top, right, bottom], axis=1)
