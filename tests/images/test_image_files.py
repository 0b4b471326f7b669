import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from attnzoo.errors import UserError
from attnzoo.images.image_files import parse_header, read_header, read_headers
from attnzoo.images.image_headers import ImageHeader


def encode(kind, mode="RGB", size=(13, 7), **options):
    pixels = np.random.default_rng(3).integers(0, 255, (*size[::-1], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, depth=8, color=2):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mode", "header"),
    [
        ("PNG", "L", ImageHeader("png", 7, 13, 1)),
        ("PNG", "LA", ImageHeader("png", 7, 13, 2, transparent=True)),
        ("PNG", "RGB", ImageHeader("png", 7, 13, 3)),
        ("PNG", "RGBA", ImageHeader("png", 7, 13, 4, transparent=True)),
        ("PNG", "P", ImageHeader("png", 7, 13, 3)),
        ("PNG", "I;16", ImageHeader("png", 7, 13, 1, bits=16)),
        ("JPEG", "L", ImageHeader("jpeg", 7, 13, 1)),
        ("JPEG", "RGB", ImageHeader("jpeg", 7, 13, 3)),
        ("JPEG", "CMYK", ImageHeader("jpeg", 7, 13, 4)),
        ("GIF", "P", ImageHeader("gif", 7, 13, 3)),
        ("BMP", "L", ImageHeader("bmp", 7, 13, 1)),
        ("BMP", "RGB", ImageHeader("bmp", 7, 13, 3)),
        ("WEBP", "RGB", ImageHeader("webp", 7, 13, 3)),
    ],
)
def test_headers_give_format_size_and_channels(tmp_path, kind, mode, header):
    encoded = encode(kind, mode)
    path = tmp_path / "image.dat"
    path.write_bytes(encoded)
    assert read_header(path) == header
    assert read_header(path, whole=False) == header
    assert parse_header(encoded, "memory") == header


def test_progressive_and_long_headed_jpegs_transparent_palettes_and_animations_are_read():
    assert parse_header(encode("JPEG", progressive=True), "x").format == "jpeg"
    exif = Image.Exif()
    exif[0x9286] = "comment" * 5000
    assert parse_header(encode("JPEG", exif=exif, restart_marker_blocks=1), "x").width == 13
    assert parse_header(encode("PNG", "P", transparency=0), "x").channels == 4
    frames = [Image.new("L", (11, 5), value) for value in (0, 99)]
    assert parse_header(encode("GIF", "L", save_all=True, append_images=frames), "x").format == "gif"
    assert parse_header(encode("JPEG") + b"trailer" * 1000, "x").height == 7


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_images_are_refused(tmp_path, kind, fraction):
    encoded = encode(kind, size=(97, 89))
    path = tmp_path / "truncated.img"
    path.write_bytes(encoded[: int(fraction * len(encoded))])
    with pytest.raises(UserError, match=re.escape(f"{path}: the image is truncated")):
        read_header(path)


def bad_crc():
    encoded = bytearray(encode("PNG"))
    encoded[encoded.index(b"IDAT") + 9] ^= 1
    return bytes(encoded)


def bmp_of_16_bits():
    encoded = bytearray(encode("BMP"))
    encoded[28:30] = struct.pack("<H", 16)
    return bytes(encoded)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", "not a JPEG, PNG, WebP, GIF or BMP image (it is empty)"),
        (
            b"RIFF1234WAVE",
            "not a JPEG, PNG, WebP, GIF or BMP image (it starts with the bytes 52 49 46 46 31 32 33 34)",
        ),
        (bad_crc(), "damaged image: wrong checksum of chunk 'IDAT'"),
        (png_of(13, 7, 3), "damaged image: color type 2 with 3 bits does not exist"),
        (png_of(0, 7), "damaged image: 0 x 7 pixels"),
        (
            b"\x89PNG\r\n\x1a\n" + png_chunk(b"IEND", b""),
            "damaged image: it does not begin with an IHDR chunk",
        ),
        (b"\xff\xd8\xff\xe0\x00\x04ab12", "damaged image: byte 0x31 where a marker is expected"),
        (b"\xff\xd8\xff\xd9\x00\x04", "damaged image: it has no image data"),
        (b"\xff\xd8\xff\xe0\x00\x01", "damaged image: it has no image data"),
        (b"\xff\xd8\xff\x01\xff\xff\xda\x00\x02\xff\xd9", "damaged image: it has no frame header"),
        (bmp_of_16_bits(), "damaged image: BMP with 16 bits per pixel, compression 0"),
    ],
    ids=range(11),
)
def test_damaged_images_are_refused_with_the_reason(encoded, message):
    with pytest.raises(UserError, match=re.escape(f"record 5: {message}")):
        parse_header(encoded, "record 5")


def test_decompression_bombs_are_refused_from_the_header():
    with pytest.raises(UserError, match="x: 30000 x 30000 pixels; at most 50 megapixels"):
        parse_header(png_of(30_000, 30_000), "x")
    jpeg = encode("JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    with pytest.raises(UserError, match="x: 65500 x 65500 pixels"):
        parse_header(jpeg[:size] + struct.pack(">HH", 65_500, 65_500) + jpeg[size + 4 :], "x")
    bmp = bytearray(encode("BMP"))
    bmp[18:26] = struct.pack("<ii", 40_000, -40_000)
    with pytest.raises(UserError, match="x: 40000 x 40000 pixels"):
        parse_header(bytes(bmp), "x")
    gif = bytearray(encode("GIF", "P"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(UserError, match="x: 65535 x 65535 pixels"):
        parse_header(bytes(gif), "x")
    assert parse_header(png_of(10_000, 5_000), "x").width == 10_000


def test_a_larger_image_is_read_where_that_is_asked_for_and_the_refusal_names_the_option():
    large = png_of(10_000, 6_000)
    message = (
        "10000 x 6000 pixels; at most 50 megapixels are read (data.max_megapixels): scale it down, or raise"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        parse_header(large, "x")
    assert parse_header(large, "x", max_pixels=60_000_000).width == 10_000
    assert next(read_headers([large], "x")).height == 6_000


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png: a pipe or a device; an image file is expected"):
        read_header(tmp_path / "pipe.png")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.png: cannot be read \(No such file or directory\)"):
        read_header(tmp_path / "none.png")
