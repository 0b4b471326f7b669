"""Malformed images and folders, and odd ones that are in order."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.robustness.malformed import Build, Case, holding, nothing

BAD = "train/dark/bad.png"


def picture(
    kind: str, mode: str = "RGB", size: tuple[int, int] = (8, 8), level: int = 100, **options
) -> bytes:
    """Returns an image file of noise around one level of brightness."""
    pixels = np.random.default_rng(level).integers(level, level + 50, (*size[::-1], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def moving_webp() -> bytes:
    """Returns a WebP file of two frames."""
    frame = Image.new("L", (8, 8), 99)
    return picture("WEBP", save_all=True, append_images=[frame])


def chunk(name: bytes, data: bytes) -> bytes:
    """Returns one chunk of a PNG file with its right checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes, depth: int = 8, color: int = 2) -> bytes:
    """Returns a PNG file of given compressed pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    data = chunk(b"IDAT", pixels) if pixels else b""
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def png_bomb() -> bytes:
    """30,000 x 30,000 black pixels of one bit: 110 kB that are in order and unpack to 2.7 GB in color."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 30_000 // 8)
    pixels = b"".join([packer.compress(row * 100) for _ in range(300)] + [packer.flush()])
    return png(30_000, 30_000, pixels, depth=1, color=0)


def jpeg_bomb() -> bytes:
    """A JPEG file whose header says 65,500 x 65,500 pixels."""
    data = picture("JPEG")
    size = data.index(b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", 65_500, 65_500) + data[size + 4 :]


def gif(width: int, height: int, frames: list[bytes]) -> bytes:
    """Returns a GIF file of given blocks and a palette of two grays."""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + b"\0\0\0\xff\xff\xff"
        + b"".join(frames)
        + b";"
    )


def gif_frame(width: int, height: int, data: bytes) -> bytes:
    """Returns a frame of given compressed pixels."""
    blocks = b"".join(
        bytes([len(part)]) + part for part in (data[i : i + 255] for i in range(0, len(data), 255))
    )
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02" + blocks + b"\0"


def cut(kind: str, percent: int) -> Build:
    """Returns a builder of an image file that ends after some percent."""

    def content() -> bytes:
        data = picture(kind, size=(61, 53))
        return data[: len(data) * percent // 100]

    return holding(content)


def flipped(data: bytes, after: bytes, distance: int) -> bytes:
    """Returns the data with one bit changed, some bytes after a mark."""
    changed = bytearray(data)
    changed[changed.index(after) + distance] ^= 1
    return bytes(changed)


def without(data: bytes, marker: bytes) -> bytes:
    """Returns a JPEG file without its segments of one kind."""
    while marker in data:
        start = data.index(marker)
        (length,) = struct.unpack(">H", data[start + 2 : start + 4])
        data = data[:start] + data[start + 2 + length :]
    return data


def deep_png() -> bytes:
    """Returns a PNG file of 16 bits a pixel."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(stream, "PNG")
    return stream.getvalue()


def bmp_of_16_bits() -> bytes:
    data = bytearray(picture("BMP"))
    data[28:30] = struct.pack("<H", 16)
    return bytes(data)


def picture_named(name: bytes) -> Build:
    """Returns a builder of a sound picture with this name, in the folder that it is given."""

    def build(path: Path) -> None:
        with open(os.path.join(os.fsencode(path), name), "wb") as file:
            file.write(picture("PNG"))

    return build


def empty_folder(path: Path) -> None:
    path.mkdir(parents=True)


def image_case(name: str, content, message: str, **options: str) -> Case:
    """One damaged file among sound ones."""
    build = content if callable(content) and getattr(content, "__name__", "") == "build" else holding(content)
    return Case(f"image: {name}", BAD, message, build, **options)


NOT_AN_IMAGE = ": not a JPEG, PNG, WebP, GIF or BMP image (it "
NOT_READ = "; only JPEG, PNG, WebP, GIF and BMP images are supported: convert or remove it"
TRUNCATED = ": the image is truncated; get an intact copy or remove it"
NOT_DECODED = ": cannot be decoded ("
PIXELS = zlib.compress((b"\0" + bytes(24)) * 8)

IMAGES = [
    image_case("empty", b"", NOT_AN_IMAGE + "is empty)"),
    image_case("text", b"no picture\n", NOT_AN_IMAGE + "starts with the bytes 6e 6f 20 70"),
    image_case("a web page", b"<html>404</html>", ": a web page" + NOT_READ),
    image_case("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', ": an SVG image" + NOT_READ),
    image_case("PDF", b"%PDF-1.7\n", ": a PDF file" + NOT_READ),
    image_case("WebP that moves", moving_webp, ": an animated WebP image; save one of its frames"),
    image_case("TIFF", lambda: picture("TIFF"), ": a TIFF image" + NOT_READ),
    image_case("ICO", lambda: picture("ICO", size=(16, 16)), ": an ICO image" + NOT_READ),
    image_case("JPEG XL", b"\xff\x0a" + bytes(40), ": a JPEG XL image" + NOT_READ),
    image_case("JPEG XL in boxes", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), ": a JPEG XL image" + NOT_READ),
    image_case("HEIC", b"\0\0\0\x18ftypheic" + bytes(40), ": a HEIC image" + NOT_READ),
    image_case("AVIF", b"\0\0\0\x18ftypavif" + bytes(40), ": an AVIF image" + NOT_READ),
    *(
        image_case(f"{kind} cut at {percent} %", cut(kind, percent), TRUNCATED)
        for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")
        for percent in (10, 50, 90)
    ),
    image_case(
        "PNG, a bit of pixels", lambda: flipped(picture("PNG"), b"IDAT", 9), ": damaged image: wrong checksum"
    ),
    image_case(
        "PNG, a bit of the size",
        lambda: flipped(picture("PNG"), b"IHDR", 7),
        ": damaged image: wrong checksum",
    ),
    image_case(
        "PNG, 3 bits a color", png(8, 8, PIXELS, depth=3), ": damaged image: color type 2 with 3 bits"
    ),
    image_case("PNG, no width", png(0, 8, PIXELS), ": damaged image: 0 x 8 pixels"),
    image_case("PNG, no pixels", png(8, 8, b""), NOT_DECODED),
    image_case("PNG, pixels that do not unpack", png(8, 8, b"x\x9cnonsense"), NOT_DECODED),
    image_case("PNG, too few pixels", png(8, 9, PIXELS), NOT_DECODED),
    image_case(
        "PNG, no header", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), ": damaged image: it does not begin"
    ),
    image_case(
        "JPEG, no frame", lambda: without(picture("JPEG"), b"\xff\xc0"), ": damaged image: it has no frame"
    ),
    image_case("JPEG, no tables", lambda: without(picture("JPEG"), b"\xff\xdb"), NOT_DECODED),
    image_case("JPEG, nothing inside", b"\xff\xd8\xff\xd9\0\4", ": damaged image: it has no image data"),
    image_case("JPEG, no marker", b"\xff\xd8\xff\xe0\0\4ab12", ": damaged image: byte 0x31 where a marker"),
    image_case("GIF, no frame", gif(8, 8, []), ": damaged image: it has no frame"),
    image_case("GIF, no block", gif(8, 8, [b"?"]), ": damaged image: byte 0x3f where a block is expected"),
    image_case("GIF, pixels that do not unpack", gif(8, 8, [gif_frame(8, 8, b"\xff\xff\xff")]), NOT_DECODED),
    image_case("BMP of 16 bits", bmp_of_16_bits, ": damaged image: BMP with 16 bits per pixel"),
    image_case(
        "CMYK where gray is asked for", lambda: picture("JPEG", "CMYK"), NOT_DECODED, options=", channels: 1"
    ),
    Case(
        "image: a name of wrong bytes",
        "train/dark",
        "/\\udcff.png: the name is not printable",
        picture_named(b"\xff.png"),
    ),
    Case(
        "image: a name of two lines",
        "train/dark",
        "/a\\nb.png: the name is not printable",
        picture_named(b"a\nb.png"),
    ),
    Case("image: damaged in test", "test/dark/x.png", NOT_DECODED, holding(png(8, 8, b"x\x9cnonsense"))),
    Case(
        "folder: a class that train lacks",
        "test/drak",
        ": class 'drak' does not occur in train (did you mean 'dark'",
        lambda path: holding(picture("PNG"))(path / "1.png"),
    ),
    Case(
        "folder: none for test",
        "test",
        ": not found; expected a folder with one subfolder per class",
        nothing,
    ),
    Case("folder: a file in its place", "test", ": a file; expected a folder", holding(b"x")),
    Case(
        "folder: pictures without classes",
        "test",
        ": no subfolders",
        lambda path: holding(picture("PNG"))(path / "1.png"),
    ),
    Case(
        "folder: a class without pictures",
        "train/empty",
        ": the class folder has no images",
        empty_folder,
    ),
]

BOMBS = [
    image_case("a PNG bomb", png_bomb, ": 30000 x 30000 pixels; at most 50 megapixels are read"),
    image_case("a JPEG bomb", jpeg_bomb, ": 65500 x 65500 pixels; at most 50 megapixels are read"),
    image_case(
        "a GIF of 1,000 large frames",
        lambda: gif(7000, 7000, [gif_frame(7000, 7000, bytes(99))] * 1000),
        ": damaged image: more than 200 megapixels in its frames",
    ),
]


def sound_pictures() -> dict[str, bytes]:
    """Returns odd images that are to be read, by file name."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    frames = [Image.new("L", (8, 8), value) for value in (0, 99)]
    return {
        "one_pixel.png": picture("PNG", size=(1, 1)),
        "gray.png": picture("PNG", "L"),
        "gray_transparent.png": picture("PNG", "LA"),
        "transparent.png": picture("PNG", "RGBA"),
        "palette.png": picture("PNG", "P", transparency=0),
        "one_bit.png": picture("PNG", "1"),
        "deep.png": deep_png(),
        "named_wrong.png": picture("JPEG"),
        "no_suffix": picture("PNG"),
        "turned.jpg": picture("JPEG", exif=exif, size=(9, 5)),
        "progressive.jpg": picture("JPEG", progressive=True),
        "gray.jpg": picture("JPEG", "L"),
        "gray.bmp": picture("BMP", "L"),
        "color.bmp": picture("BMP"),
        "still.webp": picture("WEBP"),
        "transparent.webp": picture("WEBP", "RGBA"),
        "still.gif": picture("GIF", "P"),
        "moving.gif": picture("GIF", "L", save_all=True, append_images=frames),
    }
