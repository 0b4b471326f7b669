"""Decodes image files in the graph; training and serving use the same function."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from attnzoo.images.exif import orientation, turn_upright
from attnzoo.images.image_headers import WEBP_ANIMATED

LUMA = (0.299, 0.587, 0.114)

# Patterns of whole files, where \C is any byte. A search that fails early costs nothing.
_PNG = b"\x89PN"
_DEEP = r"\CPNG\C{20}\x10\C*"
_TRANSPARENT = r"\CPNG\C{21}[\x04\x06]\C*|\CPNG\C*\x00\x00[\x00\x01]\CtRNS\C*"
_OTHERS = r"GIF\C*|BM\C*"
_WEBP = r"RIFF\C*"


class PixelFormat(NamedTuple):
    """How the pixels of an image file are read.

    Attributes:
        channels: 1 gray or 3 color.
        background: red, green and blue, 0 to 255, that transparent parts are composited on; empty:
            transparency is ignored, and the pixels it hides show.
        max_value: value of white in PNG files of 16 bits per channel, larger ones count as white. 0: their
            upper 8 bits count.
    """

    channels: int
    background: tuple[int, ...] = ()
    max_value: int = 0

    @property
    def dtype(self) -> tf.DType:
        """Type of the pixels: <uint8>, or <float32> in 0..1, which keeps all values of 16 bits."""
        return tf.float32 if self.max_value else tf.uint8


def decode(encoded: tf.Tensor, to: PixelFormat) -> tf.Tensor:
    """Decodes JPEG, PNG, WebP, BMP or the first frame of a GIF.

    A JPEG is rotated by its EXIF orientation. The transparency of PNG and WebP files is used, that of GIF
    and BMP files ignored.

    Args:
        encoded: <string>[], the bytes of an image file.
        to: channels, background and depth.

    Returns:
        <uint8>[height, width, channels], or <float32>, see `PixelFormat.dtype`.
    """
    # Most images pass few operations: for small ones each takes as long as decoding.
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    layers = [_TRANSPARENT] * bool(to.background) + [_DEEP] * bool(to.max_value)
    is_unusual = tf.strings.regex_full_match(encoded, "|".join([_WEBP, _OTHERS, *layers]))

    def plain() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=to.channels, expand_animations=False)
        return _of_bytes(image, to)

    def others() -> tf.Tensor:
        # A GIF always has 3 channels, a BMP its own; its fourth is seldom transparency.
        image = tf.io.decode_image(encoded, expand_animations=False)
        return _of_bytes(_to_channels(image, to.channels), to)

    def layered() -> tf.Tensor:
        if not layers:
            return others()
        is_png = tf.strings.substr(encoded, 0, 3) == _PNG
        return tf.cond(is_png, lambda: _decode_png(encoded, to), others)

    def unusual() -> tf.Tensor:
        is_webp = tf.strings.regex_full_match(encoded, _WEBP)
        return tf.cond(is_webp, lambda: _decode_webp(encoded, to), layered)

    image = tf.cond(is_unusual, unusual, plain)
    image = tf.cond(is_jpeg, lambda: turn_upright(image, orientation(encoded)), lambda: image)
    return tf.ensure_shape(image, [None, None, to.channels])


def decode_layers(encoded: tf.Tensor) -> tf.Tensor:
    """Returns color and opacity of a PNG or WebP file that has both, <uint8>[height, width, 4]."""
    layers = tf.cond(
        tf.strings.substr(encoded, 0, 3) == _PNG,
        lambda: tf.io.decode_png(encoded, channels=4),
        lambda: tf.io.decode_webp(encoded, channels=4)[0],
    )
    return tf.ensure_shape(layers, [None, None, 4])


def decode_deep(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns a PNG file of 16 bits per channel, <uint16>[height, width, channels]."""
    return tf.io.decode_png(encoded, channels=channels, dtype=tf.uint16)


def _decode_png(encoded: tf.Tensor, to: PixelFormat) -> tf.Tensor:
    """Decodes a file that matches one of the patterns."""

    # Only where it is needed: TensorFlow gives opaque grays of fewer than 8 bits an alpha of 1, 3 or 15.
    def transparent() -> tf.Tensor:
        layers = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32) / 255.0
        return _composite(layers[..., :3], layers[..., 3:], to)

    def deep() -> tf.Tensor:
        layers = tf.cast(decode_deep(encoded, 4), tf.float32)
        return _composite(tf.minimum(layers[..., :3] / to.max_value, 1.0), layers[..., 3:] / 65535.0, to)

    if not to.max_value:
        return transparent()
    return tf.cond(tf.strings.regex_full_match(encoded, _DEEP), deep, transparent)


def _decode_webp(encoded: tf.Tensor, to: PixelFormat) -> tf.Tensor:
    # Animations never reach the decoder, which writes outside its memory; it refuses an empty file.
    header = tf.io.decode_raw(tf.strings.substr(encoded, 0, 21), tf.uint8)
    is_animated = (header[15] == ord("X")) & (header[20] & WEBP_ANIMATED > 0)
    image = tf.io.decode_webp(tf.where(is_animated, b"", encoded))[0]  # [height, width, 3 or 4]
    if not to.background:
        return _of_bytes(_to_channels(image, to.channels), to)

    def transparent() -> tf.Tensor:
        layers = tf.cast(image, tf.float32) / 255.0
        return _composite(layers[..., :3], layers[..., 3:], to)

    return tf.cond(
        tf.shape(image)[2] == 4, transparent, lambda: _of_bytes(_to_channels(image, to.channels), to)
    )


def _composite(color: tf.Tensor, opacity: tf.Tensor, to: PixelFormat) -> tf.Tensor:
    """Composites an image on the background.

    Args:
        color: <float32>[height, width, 3] in 0..1.
        opacity: <float32>[height, width, 1] in 0..1.
        to: background, channels and type of the result.
    """
    image = color
    if to.background:
        image = opacity * color + (1.0 - opacity) * (tf.constant(to.background, tf.float32) / 255.0)
    if to.channels == 1:
        image = tf.reduce_sum(image * LUMA, axis=2, keepdims=True)
    image = tf.ensure_shape(image, [None, None, to.channels])
    return image if to.max_value else tf.cast(tf.round(255.0 * image), tf.uint8)


def _of_bytes(image: tf.Tensor, to: PixelFormat) -> tf.Tensor:
    """Returns an image <uint8>[height, width, channels] in the type of the format."""
    image = tf.ensure_shape(image, [None, None, to.channels])
    return tf.cast(image, tf.float32) / 255.0 if to.max_value else image


def _to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns <uint8>[height, width, channels] from an image with 1, 3 or 4 channels."""
    is_gray = tf.equal(tf.shape(image)[2], 1)

    def colors() -> tf.Tensor:
        return tf.ensure_shape(image[:, :, :3], [None, None, 3])

    if channels == 1:
        return tf.cond(is_gray, lambda: image, lambda: tf.image.rgb_to_grayscale(colors()))
    return tf.cond(is_gray, lambda: tf.repeat(image, 3, axis=2), colors)
