"""Changes of images that blur them or move their levels; what they take and return: see `image_changes`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from attnzoo import addons
from attnzoo.config import augmentation as options_of
from attnzoo.images.image_changes import choose, exactly

MIN_SIGMA = 0.1
"""Standard deviation in pixels of the weakest Gaussian blur."""
LEVELS = 256


def gaussian_blur(images, draws, options: options_of.GaussianBlur, fill):
    """Blurs where draw 0 is below `probability`, by a standard deviation of draw 1; nothing moves in."""
    sigma = MIN_SIGMA + max(0.0, options.sigma - MIN_SIGMA) * draws[:, 1]
    blurred = images
    for _ in range(2):  # columns, then rows as columns
        size, width, channels = blurred.shape[1:]
        distances = np.arange(size, dtype=np.float32)
        weights = exactly(tf.exp, -0.5 * tf.square(distances / sigma[:, None]))  # [batch, distance]
        weights = tf.gather(weights, np.abs(np.subtract.outer(range(size), range(size))), axis=1)
        weights /= tf.reduce_sum(weights, axis=2, keepdims=True)  # [batch, size, size]
        lines = tf.matmul(weights, tf.reshape(blurred, [-1, size, width * channels]))
        blurred = tf.transpose(tf.reshape(lines, [-1, size, width, channels]), [0, 2, 1, 3])
    return choose(draws[:, 0] < options.probability, blurred, images)


def median_blur(images, draws, options: options_of.MedianBlur, fill):
    """Replaces pixels by the median of their neighborhood where draw 0 is below `probability`."""
    median_filter = addons.load("image.filters").median_filter2d
    size = min(options.size, 2 * min(images.shape[1:3]) + 1)  # the border is mirrored once

    def change(item: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, chosen = item
        # Only where it is needed, as it takes many times what other changes do.
        return tf.cond(chosen, lambda: median_filter(image, size, padding="SYMMETRIC"), lambda: image)

    specification = tf.TensorSpec(images.shape[1:], tf.float32)
    chosen = draws[:, 0] < options.probability
    return tf.ensure_shape(
        tf.map_fn(change, (images, chosen), fn_output_signature=specification), images.shape
    )


def smooth(images: tf.Tensor) -> tf.Tensor:
    """Returns images smoothed by a 3 x 3 kernel with a weight of 5 in its center; the border stays.

    Images with a side below 3 are all border.
    """
    if min(images.shape[1:3]) < 3:
        return images
    kernel = tf.tensor_scatter_nd_update(tf.ones([3, 3]), [[1, 1]], [5.0]) / 13.0
    kernel = tf.repeat(kernel[:, :, None, None], images.shape[-1], axis=2)  # [3, 3, channels, 1]
    inner = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "VALID")
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
    return tf.where(tf.pad(tf.ones_like(inner, tf.bool), padding), tf.pad(inner, padding), images)


def equalize(images, draws, options: options_of.Equalize, fill):
    """Makes the values of each channel equally frequent where draw 0 is below `probability`."""
    return choose(draws[:, 0] < options.probability, equalized(images), images)


def equalized(images: tf.Tensor) -> tf.Tensor:
    """Returns images whose 256 levels are equally frequent in each channel, as `PIL.ImageOps.equalize` does.

    Keras's `Equalization` counts the levels of the whole batch, so that an image would depend on the others.
    """
    height, width, channels = images.shape[1:]
    levels = tf.cast(tf.round((LEVELS - 1.0) * images), tf.int32)
    levels = tf.reshape(
        tf.transpose(levels, [0, 3, 1, 2]), [-1, height * width]
    )  # [batch * channels, pixels]
    counts = tf.math.bincount(levels, minlength=LEVELS, maxlength=LEVELS, axis=-1)
    highest = tf.reduce_max(levels, axis=1, keepdims=True)
    step = (height * width - tf.gather(counts, highest, batch_dims=1)) // (LEVELS - 1)
    before = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((before + step // 2) // tf.maximum(step, 1), LEVELS - 1)
    changed = tf.where(step > 0, tf.gather(table, levels, batch_dims=1), levels)
    changed = tf.transpose(tf.reshape(changed, [-1, channels, height, width]), [0, 2, 3, 1])
    return tf.cast(changed, tf.float32) / (LEVELS - 1.0)


def stretch(images: tf.Tensor) -> tf.Tensor:
    """Returns images whose channels each reach from 0 to 1; flat ones stay."""
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    span = tf.reduce_max(images, axis=[1, 2], keepdims=True) - low
    return tf.where(span > 0.0, tf.math.divide_no_nan(images - low, span), images)


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns images of 256 levels of which the highest `bits`, rounded down, are left."""
    step = tf.pow(2.0, 8.0 - tf.floor(bits))
    return tf.floor(tf.round((LEVELS - 1.0) * images) / step) * step / (LEVELS - 1.0)
