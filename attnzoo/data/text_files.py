"""Text files read strictly, line by line: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import difflib
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from attnzoo.errors import UserError

MAX_TEXT_CHARACTERS = 1 << 20
"""Longest text of one example, in characters: more is a file of another kind or an unterminated quote."""

MAX_LINE_BYTES = 4 * MAX_TEXT_CHARACTERS
GZIP_FREE_BYTES = 100 << 20
GZIP_MAX_RATIO = 200
_UTF8_BOM = b"\xef\xbb\xbf"
_FOREIGN_STARTS = (
    (b"\x1f\x8b", "it is gzip data: name the file with the suffix .gz"),
    (b"\xff\xfe", "it looks like UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it looks like UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "it is a zip or office file: save it as plain text"),
)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the known name most like `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def object_array(values: list[str] | list[bytes]) -> np.ndarray:
    """Returns <object>[len(values)], the form in which a split holds texts, paths and encoded images."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, text with its line ending) of a UTF-8 file, plain or gzip (`.gz`).

    Only `\n` ends a line: U+2028, form feeds and lone carriage returns are part of the text. A byte order
    mark is dropped. Memory stays at one line, so that a decompression bomb is refused while it is small.

    Raises:
        UserError: the file cannot be opened, is not gzip though named so, is not UTF-8, holds a NUL byte, has
            a line of more than 4 MiB, or unpacks to more than 200 times its size (beyond the first 100 MiB).
    """
    path = str(path)
    try:
        packed_size = os.path.getsize(path)
        # Either kind of stream has `readline`; their static types have no common ancestor with it.
        opened = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115
        with cast("IO[bytes]", opened) as stream:
            yield from _decoded_lines(path, stream, packed_size)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: not a whole gzip file ({error}); pack it again or drop the suffix .gz."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a text file is expected.") from None


def _decoded_lines(path: str, stream: IO[bytes], packed_size: int) -> Iterator[tuple[int, str]]:
    offset = 0
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise UserError(
                f"{path}:{number}: the line is longer than {MAX_LINE_BYTES:,} bytes; is this a text file "
                "with one example a line?"
            )
        if number == 1:
            for start, advice in _FOREIGN_STARTS:
                if raw.startswith(start):
                    raise UserError(f"{path}:1: not plain UTF-8 text; {advice}.")
            if raw.startswith(_UTF8_BOM):
                raw = raw[len(_UTF8_BOM) :]
                offset += len(_UTF8_BOM)
        position = raw.find(b"\0")
        if position >= 0:
            raise UserError(
                f"{path}:{number}: NUL byte at byte {offset + position} of the file; a text file has none: "
                "remove it."
            )
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} "
                f"of the file ({error.reason}); save the file as UTF-8."
            ) from None
        offset += len(raw)
        if path.endswith(".gz") and offset > max(GZIP_FREE_BYTES, GZIP_MAX_RATIO * packed_size):
            raise UserError(
                f"{path}:{number}: unpacks to more than {GZIP_MAX_RATIO} times its {packed_size:,} bytes; "
                "this looks like a decompression bomb. Unpack it yourself if it is not."
            )
        yield number, text
