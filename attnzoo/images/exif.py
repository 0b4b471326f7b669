"""The orientation that cameras write into JPEG files, read and applied in the graph."""

from __future__ import annotations

import tensorflow as tf

SEARCHED_BYTES = 16 << 10
"""Bytes at the beginning of the file that are searched for the segment; cameras put it first."""

_SEGMENT = (0xFF, 0xE1, None, None, *b"Exif\x00\x00")
_KNOWN = [offset for offset, value in enumerate(_SEGMENT) if value is not None]
_ORIENTATION = 0x0112
_ENTRY_BYTES = 12
_MAX_ENTRIES = 256


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the orientation of a JPEG file.

    Args:
        encoded: <string>[], its bytes.

    Returns:
        <int32>[], 1 to 8; 1, upright, where the file has none.

    Reference: Exif 2.32 (CIPA DC-008), 4.5.4 and 4.6.4 A.
    """
    start = tf.io.decode_raw(tf.strings.substr(encoded, 0, SEARCHED_BYTES), tf.uint8)
    start = tf.pad(start, [[0, len(_SEGMENT)]])
    places = tf.size(start) - len(_SEGMENT) + 1
    segments = tf.where(
        (start[:places] == _SEGMENT[0]) & (start[1 : places + 1] == _SEGMENT[1])
    )  # [segments, 1]
    is_exif = tf.reduce_all(
        tf.gather(start, segments + _KNOWN) == [_SEGMENT[offset] for offset in _KNOWN], axis=1
    )
    segments = tf.boolean_mask(segments[:, 0], is_exif)
    return tf.cond(tf.size(segments) > 0, lambda: _read(start, tf.cast(segments[0], tf.int32)), lambda: 1)


def _read(start: tf.Tensor, segment: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the bytes <uint8>[size], `segment` being where the segment begins."""
    header = segment + len(_SEGMENT)
    last = tf.size(start) - 1
    is_little = start[tf.minimum(header, last)] == ord("I")

    def number(place: tf.Tensor, width: int) -> tf.Tensor:
        """Returns the number in the `width` bytes at each place."""
        offsets = tf.where(is_little, tf.range(width)[::-1], tf.range(width))
        places = tf.clip_by_value(place[..., None] + offsets, 0, last)
        values = tf.cast(tf.gather(start, places), tf.int64)  # [..., width]
        return tf.reduce_sum(values * [256**power for power in reversed(range(width))], axis=-1)

    directory = header + tf.cast(tf.minimum(number(header + 4, 4), SEARCHED_BYTES), tf.int32)
    count = tf.minimum(tf.cast(number(directory, 2), tf.int32), _MAX_ENTRIES)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(count)  # [count]
    values = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == _ORIENTATION)
    value = tf.cast(tf.concat([values, [1]], axis=0)[0], tf.int32)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Mirrors and rotates an image [height, width, channels] stored with an orientation, 1 to 8."""
    image = tf.cond(orientation >= 5, lambda: _swap_sides(image), lambda: image)
    for axis, kinds in ((1, [2, 3, 6, 7]), (0, [3, 4, 7, 8])):
        mirrored = tf.reduce_any(orientation == kinds)
        image = tf.cond(mirrored, lambda a=axis, i=image: tf.reverse(i, [a]), lambda i=image: i)
    return image


def _swap_sides(image: tf.Tensor) -> tf.Tensor:
    """Returns <uint8>[width, height, channels]."""
    # `tf.transpose` of bytes makes oneDNN print an error on stderr.
    height, width, channels = tf.unstack(tf.shape(image))
    places = tf.range(height) * width + tf.range(width)[:, None]  # [width, height]
    return tf.gather(tf.reshape(image, [height * width, channels]), places)
