"""Images in the graph: decode, resize, normalize. The same functions train and serve."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from attnzoo.images.exif import orientation, turn_upright
from attnzoo.images.image_files import parse_header, read_header
from attnzoo.records.bad_records import BadRecord

DECODED_AT_START_BYTES = 256 << 20
"""Largest split, in encoded bytes, of which every image is decoded before training: seconds to a minute."""

STATISTICS_SAMPLE = 2000
STATISTICS_BATCH_BYTES = 32 << 20


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes JPEG, PNG, BMP or the first frame of a GIF; a JPEG is turned upright as its camera says.

    Args:
        encoded: <string>[], the bytes of an image file.
        channels: 1 grey or 3 colour.

    Returns:
        <uint8>[height, width, channels].
    """
    # For these two the decoder converts; a GIF always gives 3 channels, a BMP those that it has.
    start = tf.strings.substr(encoded, 0, 3)
    is_jpeg = start == b"\xff\xd8\xff"
    image = tf.cond(
        tf.logical_or(is_jpeg, start == b"\x89PN"),
        lambda: tf.io.decode_image(encoded, channels=channels, expand_animations=False),
        lambda: _to_channels(tf.io.decode_image(encoded, expand_animations=False), channels),
    )
    image.set_shape([None, None, channels])
    image = tf.cond(is_jpeg, lambda: turn_upright(image, orientation(encoded)), lambda: image)
    return tf.ensure_shape(image, [None, None, channels])


def _to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns <uint8>[height, width, channels] of an image with 1, 3 or 4 channels."""
    is_grey = tf.equal(tf.shape(image)[2], 1)

    def colours() -> tf.Tensor:
        return tf.ensure_shape(image[:, :, :3], [None, None, 3])

    if channels == 1:
        return tf.cond(is_grey, lambda: image, lambda: tf.image.rgb_to_grayscale(colours()))
    return tf.cond(is_grey, lambda: tf.repeat(image, 3, axis=2), colours)


def resize(image: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Resizes <uint8>[height, width, channels] to `shape` (bilinear, antialiased), <uint8>."""
    resized = tf.image.resize(image, shape[:2], antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)  # a mean of pixels is within their range


def standardize(images: tf.Tensor, mean: Sequence[float], std: Sequence[float]) -> tf.Tensor:
    """Brings images to zero mean and unit variance a channel.

    Args:
        images: <float32>[batch, height, width, channels] in 0..1.
        mean, std: of each channel, in 0..1.
    """
    width, channels = images.shape[2:]
    # Whole rows at once: TensorFlow is slow to broadcast over an axis of one or three elements.
    means, deviations = (tf.constant(np.tile(np.asarray(value, np.float32), width)) for value in (mean, std))
    rows = tf.reshape(images, [-1, width * channels])
    return tf.reshape((rows - means) / deviations, tf.shape(images))


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


def shape_of_first(column: np.ndarray, origin: str) -> tuple[int, int, int]:
    """Returns (height, width, channels) of the first image of a column; 2 or 4 channels count as 1 or 3."""
    if column.dtype == np.uint8:
        height, width, channels = column.shape[1:]
        return int(height), int(width), int(channels)
    first = column[0]
    is_path = isinstance(first, str)
    header = read_header(first) if is_path else parse_header(first, f"{origin}: example 0")
    channels = 1 if header.channels <= 2 else 3
    is_turned = header.format == "jpeg" and orientation(tf.io.read_file(first) if is_path else first) >= 5
    sides = (header.width, header.height) if is_turned else (header.height, header.width)
    return *sides, channels


def undecodable(column: np.ndarray, channels: int, origin: str) -> Iterator[BadRecord]:
    """Yields what is wrong with each image that cannot be decoded although its header is in order.

    Args:
        column: as for `read_images`.
        channels: 1 or 3.
        origin: where encoded bytes came from; a path speaks for itself.
    """
    if column.dtype == np.uint8 or len(column) == 0:
        return
    is_path = isinstance(column[0], str)

    def count_values(item: tf.Tensor) -> tf.Tensor:
        return tf.size(decode(tf.io.read_file(item) if is_path else item, channels))

    with tf.device("/CPU:0"):
        items = tf.data.Dataset.from_tensor_slices(list(column))
        decoded = iter(items.map(count_values, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))
    for index, item in enumerate(column):
        try:
            next(decoded)
        except tf.errors.OpError as error:
            what = f"cannot be decoded ({_reason(error)}); get a whole copy or remove it."
            yield BadRecord(item if is_path else f"{origin}: example {index}", "not decodable", what)


def check_decodable(column: np.ndarray, channels: int, origin: str) -> None:
    """Decodes all images once, unless that would take minutes.

    Raises:
        BadRecord: the first that cannot be decoded.
    """
    if column.dtype == np.uint8:
        return
    sizes = map(os.path.getsize if isinstance(column[0], str) else len, column)
    if sum(sizes) <= DECODED_AT_START_BYTES:
        for bad in undecodable(column, channels, origin):
            raise bad


def _reason(error: tf.errors.OpError) -> str:
    """Returns the words of TensorFlow in one line, without the names of operations."""
    plain = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|.*Iterator::\S+: ", " ", error.message)
    first = next((line for line in plain.splitlines() if line.strip()), type(error).__name__)
    return " ".join(first.split()).rstrip(".,:;")


def pixel_statistics(
    column: np.ndarray, shape: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the pixels by channel, in 0..1, over evenly spaced images."""
    count = min(len(column), STATISTICS_SAMPLE)
    chosen = np.linspace(0, len(column) - 1, count).astype(np.int32)
    read = read_images(column[chosen], shape)
    batch = max(1, STATISTICS_BATCH_BYTES // (8 * math.prod(shape)))
    totals = np.zeros((2, shape[2]), np.int64)
    for start in range(0, count, batch):
        pixels = read(tf.range(start, min(count, start + batch))).numpy().astype(np.int64)
        totals += [pixels.sum(axis=(0, 1, 2)), np.square(pixels).sum(axis=(0, 1, 2))]
    mean, mean_square = totals / (count * shape[0] * shape[1]) / np.array([[255.0], [255.0**2]])
    std = np.maximum(np.sqrt(np.maximum(mean_square - mean**2, 0.0)), 1e-3)
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)
