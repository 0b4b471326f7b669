"""What an image file says in its header, checked before anything decodes it. Imports no TensorFlow."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from attnzoo.records.bad_records import BadRecord

MAX_PIXELS = 50_000_000
"""Largest image, in pixels: a few kilobytes can unpack to gigabytes."""

MAX_ANIMATION_PIXELS = 4 * MAX_PIXELS
"""Most pixels in all frames of a GIF: TensorFlow unpacks them all to take the first."""

MAX_FILE_BYTES = 256 << 20
"""Largest file."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


class ImageHeader(NamedTuple):
    """Format ("jpeg", "png", "gif" or "bmp"), height and width in pixels, and channels as stored (1 to 4)."""

    format: str
    height: int
    width: int
    channels: int


def read_header(path: str | Path) -> ImageHeader:
    """Reads the header of an image file and checks that the file goes on to its end.

    PNG files are read whole (for their checksums), GIF files block by block (for the sizes of their frames);
    of other files the header and the end.

    Raises:
        BadRecord: naming the file, if it cannot be read or is not a whole image of at most 50 megapixels.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise BadRecord(str(path), "not a file", "a pipe or a device; an image file is expected.")
        with open(path, "rb") as stream:
            return _parse(stream, str(path))
    except OSError as error:
        what = f"cannot be read ({error.strerror}); an image file is expected."
        raise BadRecord(str(path), "not readable", what) from None


def parse_header(encoded: bytes, origin: str) -> ImageHeader:
    """Does the same for an image in memory; `origin` names it in messages."""
    return _parse(io.BytesIO(encoded), origin)


def _parse(stream: BinaryIO, origin: str) -> ImageHeader:
    start = stream.read(12)
    parse = next((function for magic, function in _FORMATS if start.startswith(magic)), None)
    if parse is None:
        found = "is empty" if not start else f"starts with the bytes {start[:8].hex(' ')}"
        what = f"not a JPEG, PNG, GIF or BMP image (it {found}); convert or remove it."
        raise BadRecord(origin, "not an image", what)
    size = stream.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        what = f"{size:,} bytes; files of at most {MAX_FILE_BYTES:,} bytes are read: scale it down."
        raise BadRecord(origin, "too large", what)
    stream.seek(0)
    try:
        header = parse(stream)
    except (EOFError, struct.error):
        what = "the image is cut off; get a whole copy or remove it."
        raise BadRecord(origin, "cut off", what) from None
    except ValueError as error:
        what = f"damaged image: {error}; get a whole copy or remove it."
        raise BadRecord(origin, "damaged", what) from None
    if _too_large(header):
        raise BadRecord(
            origin,
            "too large",
            f"{header.width} x {header.height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are "
            "read: scale it down.",
        )
    return header


def _header(name: str, height: int, width: int, channels: int) -> ImageHeader:
    if height < 1 or width < 1:
        raise ValueError(f"{width} x {height} pixels")
    return ImageHeader(name, height, width, channels)


def _too_large(header: ImageHeader) -> bool:
    return header.height * header.width > MAX_PIXELS


def _take(stream: BinaryIO, size: int) -> bytes:
    taken = stream.read(size)
    if len(taken) < size:
        raise EOFError
    return taken


def _parse_png(stream: BinaryIO) -> ImageHeader:
    """Reference: https://www.w3.org/TR/png-3/ (chunks: length, name, data, CRC-32 of name and data)."""
    _take(stream, 8)
    header = None
    while True:
        length, name = struct.unpack(">I4s", _take(stream, 8))
        if header is None:
            if name != b"IHDR" or length != 13:
                raise ValueError("it does not begin with an IHDR chunk")
            width, height, depth, colour = struct.unpack(">IIBB", _take(stream, 10))
            if colour not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16):
                raise ValueError(f"colour type {colour} with {depth} bits does not exist")
            header = _header("png", height, width, _PNG_CHANNELS[colour])
            if _too_large(header):
                return header
            stream.seek(16)
        checksum = zlib.crc32(name)
        while length:
            block = _take(stream, min(length, 1 << 20))
            checksum = zlib.crc32(block, checksum)
            length -= len(block)
        if struct.unpack(">I", _take(stream, 4))[0] != checksum:
            raise ValueError(f"wrong checksum of chunk {name.decode('latin-1')!r}")
        if name == b"tRNS" and header.channels == 3:
            header = header._replace(channels=4)
        if name == b"IEND":
            return header


def _parse_jpeg(stream: BinaryIO) -> ImageHeader:
    """Reference: ITU-T T.81, annex B (segments: 0xFF, marker, length with itself, data)."""
    _take(stream, 2)
    header = None
    while True:
        byte = _take(stream, 1)[0]
        if byte != 0xFF:
            raise ValueError(f"byte 0x{byte:02x} where a marker is expected")
        while (marker := _take(stream, 1)[0]) == 0xFF:
            pass
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        length = struct.unpack(">H", _take(stream, 2))[0] - 2
        if length < 0 or marker == 0xD9:
            raise ValueError("it has no image data")
        if marker in _JPEG_FRAMES:
            _, height, width, channels = struct.unpack(">BHHB", _take(stream, 6))
            header = _header("jpeg", height, width, channels)
            if _too_large(header):
                return header
            length -= 6
        stream.seek(length, os.SEEK_CUR)
        if marker == 0xDA:
            break
    if header is None:
        raise ValueError("it has no frame header")
    # Inside the compressed data 0xFF is always followed by 0x00 or a restart marker, so that this is the end.
    if b"\xff\xd9" not in _tail(stream, 4096) and b"\xff\xd9" not in stream.read():
        raise EOFError
    return header


def _tail(stream: BinaryIO, size: int) -> bytes:
    """Returns the last bytes, none from before the current position, and stays where it is."""
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(here, end - size))
    tail = stream.read()
    stream.seek(min(here, end))
    return tail


def _parse_gif(stream: BinaryIO) -> ImageHeader:
    """Reference: https://www.w3.org/Graphics/GIF/spec-gif89a.txt (blocks of sub-blocks, up to a 0x3B)."""
    width, height, flags = struct.unpack("<HHB", _take(stream, 13)[6:11])
    header = _header("gif", height, width, 3)
    if _too_large(header):
        return header
    _take(stream, _palette_bytes(flags))
    pixels = 0
    while (block := _take(stream, 1)[0]) != 0x3B:
        if block == 0x21:  # an extension: its label follows
            _take(stream, 1)
        elif block == 0x2C:  # a frame: its place, size, palette and code size follow
            width, height, flags = struct.unpack("<4xHHB", _take(stream, 9))
            _take(stream, _palette_bytes(flags) + 1)
            pixels += width * height
            if pixels > MAX_ANIMATION_PIXELS:
                raise ValueError(f"more than {MAX_ANIMATION_PIXELS // 1_000_000} megapixels in its frames")
        else:
            raise ValueError(f"byte 0x{block:02x} where a block is expected")
        while size := _take(stream, 1)[0]:
            _take(stream, size)
    if pixels == 0:
        raise ValueError("it has no frame")
    return header


def _palette_bytes(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _parse_bmp(stream: BinaryIO) -> ImageHeader:
    """Reference: the structure BITMAPINFOHEADER; a negative height means rows from top to bottom."""
    (pixels_start,) = struct.unpack("<I", _take(stream, 14)[10:])
    size, width, height, _, bits, compression = struct.unpack("<IiiHHI", _take(stream, 20))
    if size < 40 or bits not in (8, 24, 32) or compression != 0:
        raise ValueError(
            f"BMP with {bits} bits a pixel, compression {compression}: only plain 8, 24 and 32 bits are read"
        )
    header = _header("bmp", abs(height), width, bits // 8)
    row_bytes = (width * bits + 31) // 32 * 4
    if not _too_large(header) and stream.seek(0, os.SEEK_END) < pixels_start + row_bytes * abs(height):
        raise EOFError
    return header


_FORMATS = (
    (b"\xff\xd8\xff", _parse_jpeg),
    (b"\x89PNG\r\n\x1a\n", _parse_png),
    (b"GIF87a", _parse_gif),
    (b"GIF89a", _parse_gif),
    (b"BM", _parse_bmp),
)
