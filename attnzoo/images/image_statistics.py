"""What is learned from the images of train: size, channels, background, depth, mean and deviation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from attnzoo.errors import DataNote, DataWarning
from attnzoo.images.decoding import PixelFormat, decode_deep, decode_layers
from attnzoo.images.image_files import read_headers
from attnzoo.images.image_headers import ImageHeader
from attnzoo.images.pixels import read_images

MAX_SAMPLE = 2000
"""Largest number of images that are decoded to learn from."""
BATCH_BYTES = 32 << 20

MIN_SIDE = 8
"""Smaller images are tiny: tracking pixels of web pages, thumbnails of thumbnails."""
MAX_UNIFORM_SIDE = 512
"""Longest side of images of one size that stay as they are."""
MAX_SIDE = 224
"""Longest side that other images are resized to: what image models are usually trained with."""

BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
MIN_CONTRAST = 0.1
"""Mean difference from the background, 0 to 1, at which the visible part of an image can be seen."""


def headers_of(column: np.ndarray, origin: str) -> list[ImageHeader]:
    """Returns the headers of images by path or encoded, or of <uint8>[examples, height, width, channels]."""
    if column.dtype == np.uint8:
        return [ImageHeader("array", *column.shape[1:])] * len(column)
    return list(read_headers(column, origin))


def num_channels(headers: Sequence[ImageHeader]) -> int:
    """Returns 3 where any image has color, else 1."""
    return 3 if any(header.channels > 2 for header in headers) else 1


def default_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns the height and width that images of these heights and widths are resized to.

    That is their own size where all have the same, of at most 512 pixels a side, else the median of each,
    scaled down to at most 224 pixels a side.
    """
    if len(set(sizes)) == 1 and max(sizes[0]) <= MAX_UNIFORM_SIDE:
        return sizes[0]
    height, width = (int(np.quantile(sides, 0.5, method="lower")) for sides in zip(*sizes, strict=True))
    scale = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))


def note_sizes(column: np.ndarray, sizes: Sequence[tuple[int, int]], origin: str) -> None:
    """Issues a `DataNote` where sizes differ, or are tiny or large, with the size they are resized to."""
    height, width = default_size(sizes)
    tiny = [index for index, size in enumerate(sizes) if min(size) < MIN_SIDE]
    if set(sizes) == {(height, width)} and not tiny:
        return
    spans = (
        f"{min(sides)} to {max(sides)}" if min(sides) < max(sides) else str(min(sides))
        for sides in zip(*sizes, strict=True)
    )
    message = f"{origin}: images of {' x '.join(spans)} pixels (height x width)"
    if tiny:
        name = column[tiny[0]] if isinstance(column[tiny[0]], str) else f"number {tiny[0]}"
        message += f", {len(tiny):,} of them with a side of fewer than {MIN_SIDE} (first: {name})"
    warnings.warn(
        f"{message}; all are resized to {height} x {width}; set data.image_size for another size.",
        DataNote,
        stacklevel=2,
    )


def choose_background(column: np.ndarray, headers: Sequence[ImageHeader], origin: str) -> tuple[int, ...]:
    """Returns the color behind transparent parts: white, or another on which images can be seen better.

    Issues a `DataNote` with the color.
    """
    chosen = [i for i, header in enumerate(headers) if header.transparent and header.format != "gif"]
    examined = _evenly(chosen)
    contrasts = np.array([row for row in _contrasts(column, examined) if row is not None])
    if not len(contrasts):
        return BACKGROUNDS["white"]
    least = np.quantile(contrasts, 0.01, axis=0)  # [backgrounds]
    best = int(np.argmax(least >= MIN_CONTRAST)) if least.max() >= MIN_CONTRAST else int(np.argmax(least))
    name, color = list(BACKGROUNDS.items())[best]
    warnings.warn(
        f"{origin}: {len(contrasts):,} of {len(examined):,} images with an alpha channel are transparent in "
        f"parts: they are composited on {name}; set data.background for another color.",
        DataNote,
        stacklevel=2,
    )
    return color


def warn_of_transparent_gifs(headers: Sequence[ImageHeader], origin: str) -> None:
    """Issues a `DataWarning` where GIF files have a transparent color, which is ignored."""
    count = sum(header.transparent for header in headers if header.format == "gif")
    if count:
        warnings.warn(
            f"{origin}: {count:,} GIF images have a transparent color, which is ignored: the pixels it "
            "hides show; convert them to PNG.",
            DataWarning,
            stacklevel=2,
        )


def _contrasts(column: np.ndarray, chosen: Sequence[int]) -> Iterator[np.ndarray | None]:
    """Yields by how much the visible part of each image differs from the backgrounds, <float>[backgrounds].

    None stands for an image that is opaque, or of which nothing is visible.
    """
    for index in chosen:
        layers = decode_layers(_encoded(column[index])).numpy() / 255.0  # [height, width, 4]
        color, opacity = layers[..., :3], layers[..., 3]
        if opacity.min() == 1.0 or opacity.max() == 0.0:
            yield None
            continue
        difference = [np.abs(color - np.array(one) / 255.0).max(axis=-1) for one in BACKGROUNDS.values()]
        yield np.array([np.average(one, weights=opacity) for one in difference])


def choose_max_value(column: np.ndarray, headers: Sequence[ImageHeader], origin: str) -> int:
    """Returns the value of white in images of 16 bits per channel, 0 where there are none.

    It is the largest value of the bits that train uses, an even number of them: 4095 for 12 bits in 16.
    Issues a `DataNote` with it.
    """
    chosen = [index for index, header in enumerate(headers) if header.bits == 16]
    if not chosen:
        return 0
    largest = max(int(tf.reduce_max(decode_deep(_encoded(column[i]), 3))) for i in _evenly(chosen))
    bits = max(8, 2 * math.ceil(largest.bit_length() / 2))
    warnings.warn(
        f"{origin}: {len(chosen):,} of {len(headers):,} images have 16 bits per channel, with values up to "
        f"{largest}: {2**bits - 1} ({bits} bits) counts as white; set data.max_value for another value.",
        DataNote,
        stacklevel=2,
    )
    return 2**bits - 1


def _evenly(indices: Sequence[int]) -> list[int]:
    count = min(len(indices), MAX_SAMPLE)
    return [indices[place] for place in np.linspace(0, len(indices) - 1, count).astype(int)]


def _encoded(image: str | bytes) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def pixel_statistics(
    column: np.ndarray, shape: tuple[int, ...], to: PixelFormat
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the pixels by channel, in 0..1, over evenly spaced images."""
    count = min(len(column), MAX_SAMPLE)
    chosen = np.linspace(0, len(column) - 1, count).astype(np.int32)
    read = read_images(column[chosen], shape, to)
    batch = max(1, BATCH_BYTES // (8 * math.prod(shape)))
    # Whole numbers of bytes are summed without error.
    kind, white = (np.float64, 1.0) if to.max_value else (np.int64, 255.0)
    totals = np.zeros((2, shape[2]), kind)
    for start in range(0, count, batch):
        pixels = read(tf.range(start, min(count, start + batch))).numpy().astype(kind)
        totals += [pixels.sum(axis=(0, 1, 2)), np.square(pixels).sum(axis=(0, 1, 2))]
    mean, mean_square = totals / (count * shape[0] * shape[1]) / np.array([[white], [white**2]])
    std = np.maximum(np.sqrt(np.maximum(mean_square - mean**2, 0.0)), 1e-3)
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)
