"""Headers of image files, checked before anything is decoded. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from attnzoo.images.image_headers import (
    MAX_DECODED_PIXELS,
    MAX_PIXELS,
    ImageHeader,
    Unsupported,
    is_too_large,
    kind_of,
    parser_of,
)
from attnzoo.records.bad_records import BadRecord

MAX_FILE_BYTES = 256 << 20
"""Size of the largest file that is read."""
MAX_IDENTIFIED_BYTES = 256 << 20
"""Of more bytes than these, the contents of only some of the files count in `identify_files`."""

KINDS = "JPEG, PNG, WebP, GIF and BMP"
"""Formats that are read."""
_ADVICE = f"only {KINDS} images are supported: convert or remove it."


def read_header(path: str | Path, *, whole: bool = True, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Reads the header of an image file and checks that the file is complete.

    PNG files are read whole (for their checksums), GIF files block by block (for the sizes of their frames);
    of other files the header and the end are read.

    Args:
        path: of the file.
        whole: whether to check that the file is complete; False for files that were checked before.
        max_pixels: pixels of the largest image that is accepted.

    Raises:
        BadRecord: the file cannot be read or is not a complete image of at most that size.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise BadRecord(str(path), "not a file", "a pipe or a device; an image file is expected.")
        with open(path, "rb") as stream:
            return _parse(stream, str(path), whole, max_pixels)
    except OSError as error:
        what = f"cannot be read ({error.strerror}); an image file is expected."
        raise BadRecord(str(path), "not readable", what) from None


def parse_header(
    encoded: bytes, origin: str, *, whole: bool = True, max_pixels: int = MAX_PIXELS
) -> ImageHeader:
    """Returns what `read_header` does, for an image in memory; `origin` names it in messages."""
    return _parse(io.BytesIO(encoded), origin, whole, max_pixels)


def read_headers(column: Iterable[str | bytes], origin: str) -> Iterator[ImageHeader]:
    """Yields the headers of images that were checked before, by path or encoded.

    Raises:
        BadRecord: as `read_header`.
    """
    for index, item in enumerate(column):
        if isinstance(item, str):
            yield read_header(item, whole=False, max_pixels=MAX_DECODED_PIXELS)
        else:
            location = f"{origin}: example {index}"
            yield parse_header(item, location, whole=False, max_pixels=MAX_DECODED_PIXELS)


def _parse(stream: BinaryIO, origin: str, whole: bool, max_pixels: int) -> ImageHeader:
    start = stream.read(12)
    parse = parser_of(start)
    if parse is None:
        raise _not_read(origin, start)
    size = stream.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        what = f"{size:,} bytes; files of at most {MAX_FILE_BYTES:,} bytes are read: scale it down."
        raise BadRecord(origin, "too large", what)
    stream.seek(0)
    try:
        header = parse(stream, whole)
    except Unsupported as error:
        raise BadRecord(origin, "of a kind that is not supported", f"{error}.") from None
    except (EOFError, struct.error):
        what = "the image is truncated; get an intact copy or remove it."
        raise BadRecord(origin, "truncated", what) from None
    except ValueError as error:
        what = f"damaged image: {error}; get an intact copy or remove it."
        raise BadRecord(origin, "damaged", what) from None
    if is_too_large(header, max_pixels):
        option, advice = (
            (" (data.max_megapixels)", ", or raise that") if not is_too_large(header) else ("", "")
        )
        raise BadRecord(
            origin,
            "too large",
            f"{header.width} x {header.height} pixels; at most {max_pixels // 1_000_000} megapixels are "
            f"read{option}: scale it down{advice}.",
        )
    return header


def _not_read(origin: str, start: bytes) -> BadRecord:
    kind = kind_of(start)
    if kind is not None:
        return BadRecord(origin, "of a kind that is not supported", f"{kind}; {_ADVICE}")
    content = "is empty" if not start else f"starts with the bytes {start[:8].hex(' ')}"
    what = f"not a JPEG, PNG, WebP, GIF or BMP image (it {content}); convert or remove it."
    return BadRecord(origin, "not an image", what)


def identify_files(paths: Sequence[str]) -> Iterator[bytes]:
    """Yields bytes for each file that identify the files wherever the folder is that holds them all.

    These are its path in that folder, its size and its content; of more than 256 MiB the contents of evenly
    spaced files, in all about so much.
    """
    sizes = [os.path.getsize(path) for path in paths]
    absolute = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(path) for path in absolute])
    every = max(1, -(-sum(sizes) // MAX_IDENTIFIED_BYTES))
    for number, (path, size) in enumerate(zip(absolute, sizes, strict=True)):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest() if number % every == 0 else ""
        yield f"{path.removeprefix(root)}:{size}:{content}".encode("utf-8", "surrogateescape")
