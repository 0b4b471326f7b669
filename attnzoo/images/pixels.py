"""Reads, resizes and normalizes images in the graph; training and serving use the same functions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from attnzoo.images.decoding import PixelFormat, decode
from attnzoo.images.letterbox import content_size, placement
from attnzoo.records.bad_records import BadRecord

MAX_CHECKED_BYTES = 256 << 20
"""Size of the largest split whose images are all decoded before training: seconds to a minute."""


def resize(image: tf.Tensor, shape: tuple[int, ...], bars: Sequence[float] | None = None) -> tf.Tensor:
    """Resizes an image (bilinear, antialiased).

    Args:
        image: <uint8> or <float32>[height, width, channels].
        shape: (height, width, channels) of the result.
        bars: color of the bars of a letterbox, 0 to 1 for each channel; None: the image is stretched.
    """
    if bars is not None:
        return _letterbox(image, shape, bars)
    resized = tf.image.resize(image, shape[:2], antialias=True)
    if image.dtype == tf.float32:
        return resized
    return tf.cast(tf.round(resized), tf.uint8)  # a mean of pixels is within their range


def _letterbox(image: tf.Tensor, shape: tuple[int, ...], bars: Sequence[float]) -> tf.Tensor:
    canvas = (shape[0], shape[1])
    sides = tf.shape(image, tf.int64)
    rows, columns = content_size(sides[0], sides[1], canvas, "letterbox")
    place = placement(sides[0], sides[1], canvas, "letterbox")
    content = tf.image.resize(image, tf.cast([rows, columns], tf.int32), antialias=True)
    color = np.asarray(bars, np.float32) * (1.0 if image.dtype == tf.float32 else 255.0)
    padding = [[place.top, canvas[0] - rows - place.top], [place.left, canvas[1] - columns - place.left]]
    # Zeros are padded fast, other values are not.
    padded = tf.pad(content - color, tf.stack([*padding, [0, 0]])) + color
    padded = tf.ensure_shape(padded, shape)
    return padded if image.dtype == tf.float32 else tf.cast(tf.round(padded), tf.uint8)


def standardize(images: tf.Tensor, mean: Sequence[float], std: Sequence[float]) -> tf.Tensor:
    """Returns images of zero mean and unit variance in each channel.

    Args:
        images: <uint8>, or <float32> in 0..1, [batch, height, width, channels].
        mean, std: of each channel, in 0..1.

    Returns:
        <float32>[batch, height, width, channels].
    """
    white = 255.0 if images.dtype == tf.uint8 else 1.0
    width, channels = images.shape[2:]
    # Whole rows at once: TensorFlow is slow to broadcast over an axis of one or three elements.
    means, deviations = (
        tf.constant(np.tile(white * np.asarray(value), width), tf.float32) for value in (mean, std)
    )
    rows = tf.cast(tf.reshape(images, [-1, width * channels]), tf.float32)
    return tf.reshape((rows - means) / deviations, tf.shape(images))


def read_images(
    column: np.ndarray, shape: tuple[int, ...], to: PixelFormat, bars: Sequence[float] | None = None
):
    """Returns a graph function from indices <int32>[batch] to images [batch, *shape] of type `to.dtype`.

    Args:
        column: <uint8>[examples, height, width, channels], or an object array of encoded bytes or of paths.
        shape: (height, width, channels) of the result.
        to: how the pixels of files are read.
        bars: see `resize`.
    """
    if column.dtype == np.uint8:
        if tuple(column.shape[1:]) != tuple(shape):
            column = np.stack([_convert(image, shape, bars) for image in column])
        pixels = tf.constant(column)
        return lambda indices: tf.gather(pixels, indices)
    is_path = isinstance(column[0], str)
    table = tf.constant(list(column))

    def read_one(item: tf.Tensor) -> tf.Tensor:
        encoded = tf.io.read_file(item) if is_path else item
        return resize(decode(encoded, to), shape, bars)

    def read_batch(indices: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            read_one,
            tf.gather(table, indices),
            fn_output_signature=tf.TensorSpec(shape, to.dtype),
            parallel_iterations=16,
        )

    return read_batch


def _convert(image: np.ndarray, shape: tuple[int, ...], bars: Sequence[float] | None) -> np.ndarray:
    pixels = tf.constant(image)
    if pixels.shape[-1] == 1 and shape[2] == 3:
        pixels = tf.image.grayscale_to_rgb(pixels)
    elif pixels.shape[-1] == 3 and shape[2] == 1:
        pixels = tf.image.rgb_to_grayscale(pixels)
    return resize(pixels, shape, bars).numpy()


def undecodable(column: np.ndarray, to: PixelFormat, origin: str) -> Iterator[BadRecord]:
    """Yields an error for each image that cannot be decoded although its header is in order.

    Args:
        column: as for `read_images`.
        to: how their pixels are read.
        origin: where encoded bytes came from; errors name paths themselves.
    """
    if column.dtype == np.uint8 or len(column) == 0:
        return
    is_path = isinstance(column[0], str)

    def count_values(item: tf.Tensor) -> tf.Tensor:
        return tf.size(decode(tf.io.read_file(item) if is_path else item, to))

    with tf.device("/CPU:0"):
        items = tf.data.Dataset.from_tensor_slices(list(column))
        decoded = iter(items.map(count_values, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))
    for index, item in enumerate(column):
        try:
            next(decoded)
        except tf.errors.OpError as error:
            what = f"cannot be decoded ({_reason(error)}); get an intact copy or remove it."
            yield BadRecord(item if is_path else f"{origin}: example {index}", "not decodable", what)


def check_decodable(column: np.ndarray, to: PixelFormat, origin: str) -> None:
    """Decodes all images once, unless that would take minutes.

    Raises:
        BadRecord: the first that cannot be decoded.
    """
    if column.dtype == np.uint8:
        return
    sizes = map(os.path.getsize if isinstance(column[0], str) else len, column)
    if sum(sizes) <= MAX_CHECKED_BYTES:
        for bad in undecodable(column, to, origin):
            raise bad


def _reason(error: tf.errors.OpError) -> str:
    """Returns the message of TensorFlow in one line, without the names of operations."""
    plain = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|.*Iterator::\S+: ", " ", error.message)
    first = next((line for line in plain.splitlines() if line.strip()), type(error).__name__)
    return " ".join(first.split()).rstrip(".,:;")
