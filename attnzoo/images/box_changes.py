"""How boxes move with the pixels of images.

Boxes are <float32>[batch, slots, 6]: left, top, right and bottom as fractions of the image, the number of the
class, and what is there: 1 an object, 0 nothing, -1 a crowd.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.config.base import Section
from attnzoo.images import image_warps
from attnzoo.images.image_changes import crop_windows, shift_steps
from attnzoo.records.annotations import CROWD, KIND, NOTHING, OBJECT

MIN_SIDE = 2.0
"""Smallest side in pixels of a box that a change has made smaller."""
MAX_SLOTS = 256
"""Slots up to which the objects of several images are all kept."""
TOLERANCE = 1e-4
"""Fraction, and pixels, by which a box may miss a limit through rounding."""


def _flip_transforms(images, draws, options: options_of.Flip) -> tf.Tensor:
    return _mirror(draws, [-1.0, 0.0, images.shape[2] - 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def _flip_vertical_transforms(images, draws, options: options_of.FlipVertical) -> tf.Tensor:
    return _mirror(draws, [1.0, 0.0, 0.0, 0.0, -1.0, images.shape[1] - 1.0, 0.0, 0.0])


def _mirror(draws: tf.Tensor, mirrored: list[float]) -> tf.Tensor:
    same = tf.constant([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    return tf.where(draws[:, :1] < 0.5, tf.constant(mirrored), same)


def _shift_transforms(images, draws, options: options_of.Shift) -> tf.Tensor:
    down, right = (
        tf.cast(shift_steps(images.shape[axis], draws[:, axis - 1], options), tf.float32) for axis in (1, 2)
    )
    return image_warps.translations(right, down)


def _crop_transforms(images, draws, options: options_of.Crop) -> tf.Tensor:
    height, width = images.shape[1:3]
    top, left, bottom, right = tf.unstack(crop_windows(draws, options), axis=1)
    return scale_and_move(right - left, left * (width - 1.0), bottom - top, top * (height - 1.0))


TRANSFORMS: dict[type[Section], Callable[..., tf.Tensor]] = {
    options_of.Flip: _flip_transforms,
    options_of.FlipVertical: _flip_vertical_transforms,
    options_of.Shift: _shift_transforms,
    options_of.Crop: _crop_transforms,
    options_of.Rotate: image_warps.rotate_transforms,
    options_of.Shear: image_warps.shear_transforms,
    options_of.Translate: image_warps.translate_transforms,
    options_of.Zoom: image_warps.zoom_transforms,
    options_of.Perspective: image_warps.perspective_transforms,
}
"""Options of a change that moves pixels -> function from images, draws and options to its projective map from
places in the result to places in the image, <float32>[batch, 8] as of `image_warps.project`."""


def scale_and_move(right_by_right, right, down_by_down, down) -> tf.Tensor:
    """Returns transforms <float32>[batch, 8] of sides and moves <float32>[batch]."""
    zero = tf.zeros_like(right)
    return tf.stack([right_by_right, zero, right, zero, down_by_down, down, zero, zero], axis=1)


def move_boxes(
    boxes: tf.Tensor,
    transforms: tf.Tensor,
    height: int,
    width: int,
    min_visible: float = 0.0,
    windows: tf.Tensor | None = None,
) -> tf.Tensor:
    """Moves boxes as `image_warps.project` moves pixels: around the moved corners, clipped to the image.

    An object of which less than `min_visible` is left, or less than `MIN_SIDE` pixels a side, is dropped:
    nothing is there. Any visible part of a crowd is kept that is as large.

    Args:
        boxes: <float32>[batch, slots, 6].
        transforms: <float32>[batch, 8], from pixels of the result to pixels of the image.
        height, width: of the images in pixels.
        min_visible: fraction of the area of the moved box, 0 to 1.
        windows: <float32>[batch, 4], the part of the result that is visible, as fractions: left, top, right,
            bottom; None for all of it.
    """
    corners, is_valid = _moved_corners(boxes, transforms, height, width)  # [batch, slots, 4, 2]
    sides = tf.constant([width, height], tf.float32)
    lower = (tf.reduce_min(corners, axis=2) + 0.5) / sides  # [batch, slots, (right, down)]
    upper = (tf.reduce_max(corners, axis=2) + 0.5) / sides
    first, last = (0.0, 1.0) if windows is None else (windows[:, None, :2], windows[:, None, 2:])
    clipped_lower, clipped_upper = (tf.minimum(tf.maximum(edge, first), last) for edge in (lower, upper))
    visible = clipped_upper - clipped_lower
    before = (boxes[..., 2:4] - boxes[..., :2]) * sides
    is_large = tf.reduce_all(visible * sides >= tf.minimum(before, MIN_SIDE) - TOLERANCE, axis=-1)
    area, visible_area = (tf.reduce_prod(size, axis=-1) for size in (upper - lower, visible))
    is_visible = visible_area >= (min_visible - TOLERANCE) * area
    kind = boxes[..., KIND]
    kept = is_valid & is_large & (is_visible | (kind == CROWD)) & (visible_area > 0.0) & (kind != NOTHING)
    moved = tf.concat([clipped_lower, clipped_upper, boxes[..., 4:]], axis=-1)
    return tf.where(kept[..., None], moved, 0.0)


def _moved_corners(
    boxes: tf.Tensor, transforms: tf.Tensor, height: int, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns corners in pixels <float32>[batch, slots, 4, (right, down)], and <bool>[batch, slots].

    The latter says whether all of them are in front of the horizon of the projective map.
    """
    left, top, right, bottom = tf.unstack(boxes[..., :4], axis=-1)
    x = tf.stack([left, right, left, right], axis=-1) * width - 0.5  # [batch, slots, 4]
    y = tf.stack([top, top, bottom, bottom], axis=-1) * height - 0.5
    a, b, c, d, e, f, g, h = (part[:, None, None] for part in tf.unstack(transforms, axis=1))  # [batch, 1, 1]
    determinant = a * (e - f * h) - b * (d - f * g) + c * (d * h - e * g)
    # The inverse, times the determinant: `transforms` go from the result to the image.
    moved_x = (e - f * h) * x + (c * h - b) * y + (b * f - c * e)
    moved_y = (f * g - d) * x + (a - c * g) * y + (c * d - a * f)
    depth = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d)
    is_valid = tf.reduce_all(depth * tf.sign(determinant) > 1e-6 * tf.abs(determinant), axis=-1)
    depth = tf.where(is_valid[..., None], depth, 1.0)
    return tf.stack([moved_x / depth, moved_y / depth], axis=-1), is_valid


def unite_boxes(parts: list[tf.Tensor]) -> tf.Tensor:
    """Returns the boxes of several images in one, each part <float32>[batch, slots, 6].

    There are as many slots as objects can be, up to `MAX_SLOTS`: beyond, the largest objects are kept, and
    crowds after them.
    """
    united = tf.concat(parts, axis=1)
    slots = max(parts[0].shape[1], min(united.shape[1], MAX_SLOTS))
    if united.shape[1] == slots:
        return united
    area = tf.reduce_prod(united[..., 2:4] - united[..., :2], axis=-1)  # at most 1
    kind = united[..., KIND]
    order = tf.where(kind == OBJECT, 1.0 + area, tf.where(kind == CROWD, area, -1.0))
    _, largest = tf.math.top_k(order, slots)
    return tf.gather(united, tf.sort(largest, axis=-1), batch_dims=1)


def keep_where(kept: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Returns the boxes of images where `kept` <bool>[batch] is true, and none of the others."""
    return tf.where(kept[:, None, None], boxes, 0.0)
