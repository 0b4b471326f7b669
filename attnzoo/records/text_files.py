"""Text files read strictly, line by line: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import gzip
import itertools
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from attnzoo.errors import UserError

MAX_TEXT_CHARACTERS = 1 << 20
"""Longest text of one example, in characters: more is a file of another kind or an unterminated quote."""

MAX_LINE_BYTES = 4 * MAX_TEXT_CHARACTERS
GZIP_FREE_BYTES = 1 << 20
GZIP_MAX_RATIO = 100
MAX_SHOWN_NAMES = 20
MAX_SHOWN_CHARACTERS = 60
_UTF8_BOM = b"\xef\xbb\xbf"
_FOREIGN_STARTS = (
    (b"\x1f\x8b", "it is gzip data: name the file with the suffix .gz"),
    (b"\xff\xfe", "it looks like UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it looks like UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "it is a zip or office file: save it as plain text"),
)


def shown(text: str) -> str:
    """Returns a text from a file as a message shows it: at most 60 characters, none that breaks the line."""
    cut = text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."
    return cut if cut.isprintable() else repr(cut)[1:-1]


def listed(names: Iterable[str]) -> str:
    """Returns the first 20 names of a file as a message shows them."""
    first = list(itertools.islice(names, MAX_SHOWN_NAMES + 1))
    return ", ".join(
        [shown(name) for name in first[:MAX_SHOWN_NAMES]] + ["..."] * (len(first) > MAX_SHOWN_NAMES)
    )


def object_array(values: list[str] | list[bytes]) -> np.ndarray:
    """Returns <object>[len(values)], the form in which a split holds texts, paths and encoded images."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def encodable(text: str) -> bool:
    """Whether a text is whole: it has no half surrogate pair and no byte that was not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_lines(path: str | Path, strict: bool = True) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, text with its line ending) of a UTF-8 file, plain or gzip (`.gz`).

    Only `\n` ends a line: U+2028, form feeds and lone carriage returns are part of the text. A byte order
    mark is dropped. Memory stays at one line, so that a decompression bomb is refused while it is small.

    Args:
        path: the file.
        strict: refuse NUL and bytes that are not UTF-8; else they are left in the text, the bytes as U+DC80
            to U+DCFF, which are not `encodable`.

    Raises:
        UserError: the file cannot be opened, is not gzip though named so, is not UTF-8, holds a NUL byte, has
            a line of more than 4 MiB, or unpacks to more than 100 times its size (beyond the first MiB).
    """
    path = str(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{path}: a pipe or a device; a text file is expected.")
        with open(path, "rb") as file:
            packed = file if path.endswith(".gz") else None
            # Either kind of stream has `readline`; their static types have no common ancestor with it.
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if packed else file)
            yield from _decoded_lines(path, stream, packed, strict)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: not a whole gzip file ({error}); pack it again or drop the suffix .gz."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a text file is expected.") from None


def read_standard_input() -> Iterator[tuple[int, str]]:
    """Yields what `read_lines` yields of a file."""
    yield from _decoded_lines("standard input", sys.stdin.buffer, None, strict=True)


def _decoded_lines(
    path: str, stream: IO[bytes], packed: IO[bytes] | None, strict: bool
) -> Iterator[tuple[int, str]]:
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
        text = _decode(path, number, raw, offset) if strict else raw.decode("utf-8", "surrogateescape")
        offset += len(raw)
        if packed is not None:
            _refuse_bomb(path, number, packed, offset)
        yield number, text


def _decode(path: str, number: int, raw: bytes, offset: int) -> str:
    position = raw.find(b"\0")
    if position >= 0:
        raise UserError(
            f"{path}:{number}: NUL byte at byte {offset + position} of the file; a text file has none: "
            "remove it."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} "
            f"of the file ({error.reason}); save the file as UTF-8."
        ) from None


def _refuse_bomb(path: str, number: int, packed: IO[bytes], unpacked: int) -> None:
    """Holds what was unpacked so far against what was read for it."""
    read = packed.tell()
    if unpacked > max(GZIP_FREE_BYTES, GZIP_MAX_RATIO * read):
        raise UserError(
            f"{path}:{number}: unpacks to more than {GZIP_MAX_RATIO} times its {read:,} bytes; "
            "this looks like a decompression bomb. Unpack it yourself if it is not."
        )
