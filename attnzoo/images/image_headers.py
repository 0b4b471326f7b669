"""Parsers of the headers of image formats. Imports no TensorFlow."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

MAX_PIXELS = 50_000_000
"""Pixels of the largest image that is read by default: a few kilobytes can unpack to gigabytes."""

MAX_DECODED_PIXELS = 200_000_000
"""Pixels of the largest image that may be asked for: resizing it in float32 takes over 2 GB."""

MAX_ANIMATION_PIXELS = MAX_DECODED_PIXELS
"""Pixels in all frames of the largest GIF: TensorFlow unpacks them all to take the first."""

MAX_EXIF_ENTRIES = 256

WEBP_ANIMATED = 0x02
"""Bit at byte 20 of a WebP file. TensorFlow 2.21 writes outside its memory for these files."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_ORIENTATION = 0x0112


class ImageHeader(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes:
        format: "jpeg", "png", "gif", "bmp" or "webp".
        height, width: in pixels, as stored.
        channels: as stored, 1 to 4.
        bits: per channel, 8 or 16; fewer count as 8.
        orientation: 1 to 8, by the EXIF data of a JPEG; 1 is upright.
        transparent: whether parts of it may be transparent.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    orientation: int = 1
    transparent: bool = False

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class Unsupported(ValueError):
    """An image of a known kind that is not supported; the message names the kind and says what to do."""


def _header(name: str, height: int, width: int, channels: int, **more: Any) -> ImageHeader:
    if height < 1 or width < 1:
        raise ValueError(f"{width} x {height} pixels")
    return ImageHeader(name, height, width, channels, **more)


def is_too_large(header: ImageHeader, max_pixels: int = MAX_DECODED_PIXELS) -> bool:
    """Whether an image has more pixels than are read."""
    return header.height * header.width > max_pixels


def _take(stream: BinaryIO, size: int) -> bytes:
    taken = stream.read(size)
    if len(taken) < size:
        raise EOFError
    return taken


def _parse_png(stream: BinaryIO, whole: bool) -> ImageHeader:
    """Reference: https://www.w3.org/TR/png-3/ (chunks: length, name, data, CRC-32 of name and data)."""
    _take(stream, 8)
    header = None
    while True:
        length, name = struct.unpack(">I4s", _take(stream, 8))
        if header is None:
            if name != b"IHDR" or length != 13:
                raise ValueError("it does not begin with an IHDR chunk")
            width, height, depth, color = struct.unpack(">IIBB", _take(stream, 10))
            if color not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16):
                raise ValueError(f"color type {color} with {depth} bits does not exist")
            channels = _PNG_CHANNELS[color]
            bits = 16 if depth == 16 else 8
            header = _header("png", height, width, channels, bits=bits, transparent=channels % 2 == 0)
            if is_too_large(header):
                return header
            stream.seek(16)
        if name == b"IDAT" and not whole:
            return header
        checksum = zlib.crc32(name)
        while length:
            block = _take(stream, min(length, 1 << 20))
            checksum = zlib.crc32(block, checksum)
            length -= len(block)
        if struct.unpack(">I", _take(stream, 4))[0] != checksum:
            raise ValueError(f"wrong checksum of chunk {name.decode('latin-1')!r}")
        if name == b"tRNS" and not header.transparent:
            header = header._replace(channels=header.channels + 1, transparent=True)
        if name == b"IEND":
            return header


def _parse_jpeg(stream: BinaryIO, whole: bool) -> ImageHeader:
    """Reference: ITU-T T.81, annex B (segments: 0xFF, marker, length including itself, data)."""
    _take(stream, 2)
    header = None
    orientation = 0
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
            if is_too_large(header):
                return header
            length -= 6
        elif marker == 0xE1 and not orientation:
            segment = _take(stream, length)
            orientation, length = _exif_orientation(segment), 0
        stream.seek(length, os.SEEK_CUR)
        if marker == 0xDA:
            break
    if header is None:
        raise ValueError("it has no frame header")
    header = header._replace(orientation=orientation or 1)
    if not whole:
        return header
    # Inside the compressed data 0xFF is always followed by 0x00 or a restart marker, so that this is the end.
    if b"\xff\xd9" not in _tail(stream, 4096) and b"\xff\xd9" not in stream.read():
        raise EOFError
    return header


def _exif_orientation(segment: bytes) -> int:
    """Returns the orientation in a segment of a JPEG file, 1 to 8; 0 for no EXIF data.

    It is read as `images.exif` reads it in the graph.
    """
    if not segment.startswith(b"Exif\x00\x00"):
        return 0
    order, start = ("<" if segment[6:7] == b"I" else ">"), 6
    try:
        directory = start + struct.unpack_from(order + "I", segment, start + 4)[0]
        (count,) = struct.unpack_from(order + "H", segment, directory)
        for place in range(directory + 2, directory + 2 + 12 * min(count, MAX_EXIF_ENTRIES), 12):
            tag, value = struct.unpack_from(order + "H6xH", segment, place)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # truncated, or a place outside of it
        pass
    return 1


def _tail(stream: BinaryIO, size: int) -> bytes:
    """Returns the last bytes, none from before the current position, and stays where it is."""
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(here, end - size))
    tail = stream.read()
    stream.seek(min(here, end))
    return tail


def _parse_gif(stream: BinaryIO, whole: bool) -> ImageHeader:
    """Reference: https://www.w3.org/Graphics/GIF/spec-gif89a.txt (blocks of sub-blocks, up to a 0x3B)."""
    width, height, flags = struct.unpack("<HHB", _take(stream, 13)[6:11])
    header = _header("gif", height, width, 3)
    if is_too_large(header):
        return header
    _take(stream, _palette_bytes(flags))
    pixels, transparent = 0, False
    while (block := _take(stream, 1)[0]) != 0x3B:
        if block == 0x21:  # an extension: its label follows
            if _take(stream, 1)[0] == 0xF9 and pixels == 0:  # of the first frame: size, flags
                size, flags = _take(stream, 2)
                transparent = bool(flags & 1)
                _take(stream, max(0, size - 1))
        elif block == 0x2C:  # a frame: its place, size, palette and code size follow
            width, height, flags = struct.unpack("<4xHHB", _take(stream, 9))
            _take(stream, _palette_bytes(flags) + 1)
            pixels += width * height
            if pixels > MAX_ANIMATION_PIXELS:
                raise ValueError(f"more than {MAX_ANIMATION_PIXELS // 1_000_000} megapixels in its frames")
        else:
            raise ValueError(f"byte 0x{block:02x} where a block is expected")
        if pixels and not whole:
            break
        while size := _take(stream, 1)[0]:
            _take(stream, size)
    if pixels == 0:
        raise ValueError("it has no frame")
    return header._replace(transparent=transparent)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _parse_bmp(stream: BinaryIO, whole: bool) -> ImageHeader:
    """Reference: the structure BITMAPINFOHEADER; a negative height means rows from top to bottom."""
    (pixels_start,) = struct.unpack("<I", _take(stream, 14)[10:])
    size, width, height, _, bits, compression = struct.unpack("<IiiHHI", _take(stream, 20))
    if size < 40 or bits not in (8, 24, 32) or compression != 0:
        raise ValueError(
            f"BMP with {bits} bits per pixel, compression {compression}: only uncompressed BMP images of 8, "
            "24 or 32 bits are supported"
        )
    header = _header("bmp", abs(height), width, bits // 8)
    row_bytes = (width * bits + 31) // 32 * 4
    if not is_too_large(header) and stream.seek(0, os.SEEK_END) < pixels_start + row_bytes * abs(height):
        raise EOFError
    return header


def _parse_webp(stream: BinaryIO, whole: bool) -> ImageHeader:
    """Reference: https://developers.google.com/speed/webp/docs/riff_container (RFC 9649)."""
    (size,) = struct.unpack("<4xI4x", _take(stream, 12))
    if stream.seek(0, os.SEEK_END) < 8 + size:
        raise EOFError
    stream.seek(12)
    name = _take(stream, 8)[:4]
    if name == b"VP8X":
        data = _take(stream, 10)
        if data[0] & WEBP_ANIMATED:
            raise Unsupported("an animated WebP image; save one of its frames as an image, or remove it")
        transparent = bool(data[0] & 0x10)
        width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (4, 7))
    elif name == b"VP8L":
        (bits,) = struct.unpack("<xI", _take(stream, 5))
        transparent = bool(bits >> 28 & 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif name == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<6xHH", _take(stream, 10)))
        transparent = False
    else:
        raise ValueError(f"chunk {name.decode('latin-1')!r} where an image is expected")
    return _header("webp", height, width, 4 if transparent else 3, transparent=transparent)


_PARSERS = (
    (b"\xff\xd8\xff", b"", _parse_jpeg),
    (b"\x89PNG\r\n\x1a\n", b"", _parse_png),
    (b"GIF87a", b"", _parse_gif),
    (b"GIF89a", b"", _parse_gif),
    (b"BM", b"", _parse_bmp),
    (b"RIFF", b"WEBP", _parse_webp),
)
"""First bytes of a file, its bytes 8 to 11 where these count too, and what reads its header."""

_BRANDS = {
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"), "a HEIC image"),
}
_OTHERS = (
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"II+\x00", "a TIFF image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x01\x00", "an ICO image"),
    (b"8BPS", "a Photoshop file"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"DDS ", "a DDS image"),
    *((b"P%d" % number, "a PNM image") for number in range(1, 8)),
    (b"%PDF", "a PDF file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"<svg", "an SVG image"),
    (b"<!DO", "a web page"),
    (b"<!do", "a web page"),
    (b"<htm", "a web page"),
    (b"<HTM", "a web page"),
    (b"<?xm", "an XML file"),
)


def parser_of(start: bytes) -> Callable[[BinaryIO, bool], ImageHeader] | None:
    """Returns what reads the header of a file that begins with these 12 bytes; None if it is no known image.

    It takes the file and whether to read on to its end, and raises `EOFError` or `struct.error` where the
    file is truncated, `Unsupported`, and `ValueError` for other damage.
    """
    return next(
        (parse for magic, more, parse in _PARSERS if start.startswith(magic) and start[8:].startswith(more)),
        None,
    )


def kind_of(start: bytes) -> str | None:
    """Returns the name of a kind of files that is not supported, by their first 12 bytes: "a TIFF image"."""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video or an image in its container (ISO media)")
    return next((name for magic, name in _OTHERS if start.startswith(magic)), None)
