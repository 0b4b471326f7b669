"""Photographs are rotated upright, as by Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from attnzoo.images.decoding import PixelFormat, decode
from attnzoo.images.exif import orientation
from attnzoo.images.image_files import parse_header

ORIENTATION = 0x0112


def photograph(value=None, order=None, before=0):
    """JPEG bytes of an image whose corners differ, with an orientation and other entries."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = [250, 0, 0]
    pixels[8:, :12] = [0, 250, 0]
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if order is not None:
        exif.endian = order
    exif[0x010F] = "maker"
    if value is not None:
        exif[ORIENTATION] = value
    encoded = io.BytesIO()
    image.save(encoded, "jpeg", quality=95, subsampling=0, exif=exif)
    data = encoded.getvalue()
    comment = b"\xff\xfe" + (before + 2).to_bytes(2, "big") + b"E" * before
    return data[:2] + comment + data[2:] if before else data


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("before", [0, 5000])
def test_a_photograph_is_rotated_upright(value, before):
    data = photograph(value, before=before)
    assert int(orientation(data)) == value
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    decoded = tf.function(lambda: decode(tf.constant(data), PixelFormat(3)))().numpy()
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).mean() < 3
    header = parse_header(data, "test")
    assert (header.orientation, header.sides) == (value, expected.shape[:2])


def test_both_byte_orders_are_read():
    little, big = (photograph(6, order) for order in ("<", ">"))
    assert (b"II*\x00" in little, b"MM\x00*" in big) == (True, True)
    assert int(orientation(little)) == int(orientation(big)) == 6
    assert parse_header(little, "x").orientation == parse_header(big, "x").orientation == 6


def test_a_file_without_an_orientation_is_upright():
    plain = io.BytesIO()
    Image.new("RGB", (4, 4)).save(plain, "jpeg")
    for data in (plain.getvalue(), photograph(), photograph(9), photograph(0), b"", b"\xff\xd8\xff"):
        assert int(orientation(data)) == 1
        assert len(data) < 4 or parse_header(data, "x").orientation == 1


@pytest.mark.parametrize("size", [12, 20, 30, 34, 40, 50, 60])
def test_a_truncated_or_damaged_segment_is_never_an_error(size):
    assert 1 <= int(orientation(photograph(6)[:size])) <= 8
    generator = np.random.default_rng(size)
    damaged = bytearray(photograph(6))
    for place in generator.integers(30, 70, 5):
        damaged[place] = generator.integers(256)
    assert 1 <= int(orientation(bytes(damaged))) <= 8
