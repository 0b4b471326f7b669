"""Images in the graph: decode, resize, normalise, change at random. The same functions train and serve."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from attnzoo import addons
from attnzoo.info import DataInfo

STATISTICS_SAMPLE = 2000
ROTATION = math.radians(15)


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes JPEG, PNG, BMP or the first frame of a GIF.

    Args:
        encoded: <string>[], the bytes of an image file.
        channels: 1 grey or 3 colour.

    Returns:
        <uint8>[height, width, channels].
    """
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])
    return image


def resize(image: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Resizes <uint8>[height, width, channels] to `shape` (bilinear, antialiased), <uint8>."""
    resized = tf.image.resize(image, shape[:2], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def normalise(images: tf.Tensor, info: DataInfo) -> tf.Tensor:
    """Brings <uint8>[batch, height, width, channels] to zero mean and unit variance a channel, <float32>."""
    scaled = tf.cast(images, tf.float32) / 255.0
    return (scaled - tf.constant(info.image_mean)) / tf.constant(info.image_std)


def read_images(column: np.ndarray, shape: tuple[int, ...]):
    """Returns a graph function from indices <int32>[batch] to images <uint8>[batch, *shape].

    Args:
        column: <uint8>[examples, height, width, channels], or an object array of encoded bytes or of paths.
        shape: (height, width, channels) of the result.
    """
    if column.dtype == np.uint8:
        if tuple(column.shape[1:]) != tuple(shape):
            column = np.stack([_convert(image, shape) for image in column])
        pixels = tf.constant(column)
        return lambda indices: tf.gather(pixels, indices)
    is_path = isinstance(column[0], str)
    table = tf.constant(list(column))

    def read_one(item: tf.Tensor) -> tf.Tensor:
        encoded = tf.io.read_file(item) if is_path else item
        return resize(decode(encoded, shape[2]), shape)

    def read_batch(indices: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            read_one,
            tf.gather(table, indices),
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
            parallel_iterations=16,
        )

    return read_batch


def _convert(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    pixels = tf.constant(image)
    if pixels.shape[-1] == 1 and shape[2] == 3:
        pixels = tf.image.grayscale_to_rgb(pixels)
    elif pixels.shape[-1] == 3 and shape[2] == 1:
        pixels = tf.image.rgb_to_grayscale(pixels)
    return resize(pixels, shape).numpy()


def shape_of_first(column: np.ndarray) -> tuple[int, int, int]:
    """Returns (height, width, channels) of the first image of a column; 2 or 4 channels count as 1 or 3."""
    if column.dtype == np.uint8:
        height, width, channels = column.shape[1:]
        return int(height), int(width), int(channels)
    encoded = tf.io.read_file(column[0]) if isinstance(column[0], str) else tf.constant(column[0])
    height, width, channels = tf.io.decode_image(encoded, expand_animations=False).shape
    return height, width, 1 if channels <= 2 else 3


def pixel_statistics(
    column: np.ndarray, shape: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the pixels by channel, in 0..1, over evenly spaced images."""
    count = min(len(column), STATISTICS_SAMPLE)
    chosen = np.linspace(0, len(column) - 1, count).astype(np.int32)
    images = read_images(column[chosen], shape)(tf.range(count)).numpy().astype(np.float64) / 255.0
    mean = images.mean(axis=(0, 1, 2))
    std = np.maximum(images.std(axis=(0, 1, 2)), 1e-3)
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)


def augment(images: tf.Tensor, kinds: tuple[str, ...], seeds: tf.Tensor) -> tf.Tensor:
    """Changes training images at random, each by its own seed: the same seed gives the same change.

    Args:
        images: <float32>[batch, height, width, channels], normalised.
        kinds: any of "flip", "shift" (up to 1/8 of a side, zeros move in), "cutout" (a square of a quarter
            of the shorter side becomes zero: DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552) and
            "rotate" (up to 15 degrees, zeros turn in).
        seeds: <int32>[batch, 2].

    Raises:
        UserError: "rotate" without TensorFlow Addons.
    """

    def change(item: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, seed = item
        for number, kind in enumerate(kinds):
            image = _CHANGES[kind](image, tf.random.experimental.stateless_fold_in(seed, number))
        return image

    return tf.map_fn(change, (images, seeds), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))


def _flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(image, seed)


def _shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    height, width, channels = image.shape
    rows, columns = max(1, height // 8), max(1, width // 8)
    padded = tf.pad(image, [[rows, rows], [columns, columns], [0, 0]])
    return tf.image.stateless_random_crop(padded, [height, width, channels], seed)


def _cutout(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    height, width, _ = image.shape
    half = max(1, min(height, width) // 8)
    centre = tf.random.stateless_uniform([2], seed)
    rows = tf.abs(tf.range(height, dtype=tf.float32) + 0.5 - centre[0] * height) < half  # [height]
    columns = tf.abs(tf.range(width, dtype=tf.float32) + 0.5 - centre[1] * width) < half  # [width]
    erased = rows[:, None] & columns[None, :]  # [height, width]
    return tf.where(erased[:, :, None], 0.0, image)


def _rotate(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    angle = tf.random.stateless_uniform([], seed, -ROTATION, ROTATION)
    return addons.load("image.transform_ops").rotate(image, angle, interpolation="bilinear")


_CHANGES = {"flip": _flip, "shift": _shift, "cutout": _cutout, "rotate": _rotate}
