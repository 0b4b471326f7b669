"""Reads text files strictly, line by line; errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import itertools
import os
import re
import stat
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from attnzoo.errors import UserError

MAX_TEXT_CHARACTERS = 1 << 20
"""Longest text of one example, in characters; a longer one is a wrong file format or an unclosed quote."""

MAX_LINE_BYTES = 4 * MAX_TEXT_CHARACTERS
GZIP_UNCHECKED_BYTES = 64 << 20
"""Up to this size a file may be as repetitive as it likes: logs are, and so much text still fits into memory
and is read in seconds."""
GZIP_MAX_RATIO = 100
"""A larger file that decompresses to more than this many times its size is taken for a decompression bomb."""
MAX_SHOWN_NAMES = 20
MAX_SHOWN_CHARACTERS = 60
_VISIBLE_ASCII = re.compile("[!-~]")
_INVISIBLE_KINDS = ("Cc", "Cf", "Zl", "Zp", "Zs")
_INVISIBLE_NAMES = (
    *("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION SELECTOR", "COMBINING GRAPHEME JOINER"),
    *("BRAILLE PATTERN BLANK", "HANGUL FILLER", "HALFWIDTH HANGUL FILLER"),
    *("HANGUL CHOSEONG FILLER", "HANGUL JUNGSEONG FILLER"),
)
_SAMPLE_BYTES = 1 << 16
_SCANNED_BYTES = 1 << 20
_LIKELY_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r"),
    *("shift_jis", "euc_jp", "euc_kr", "gb18030", "big5"),
)
_UTF8_BOM = b"\xef\xbb\xbf"
_OTHER_FORMATS = (
    (b"\x1f\x8b", "it is gzip data: name the file with the suffix .gz"),
    (b"\xff\xfe", "it looks like UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it looks like UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "it is a zip or office file: save it as plain text"),
)


def printable(text: str) -> str:
    """Returns a text in a form that is safe in a one-line message: at most 60 characters, all printable.

    Examples:
        >>> print(printable("a\\tb"), len(printable(100 * "a")))
        a\\tb 60
    """
    shortened = text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."
    return shortened if shortened.isprintable() else repr(shortened)[1:-1]


def join_names(names: Iterable[str]) -> str:
    """Returns the names for a message, separated by commas; at most the first 20."""
    first = list(itertools.islice(names, MAX_SHOWN_NAMES + 1))
    return ", ".join(
        [printable(name) for name in first[:MAX_SHOWN_NAMES]] + ["..."] * (len(first) > MAX_SHOWN_NAMES)
    )


def object_array(values: list[str] | list[bytes]) -> np.ndarray:
    """Returns an array <object>[len(values)], as a split holds texts, paths and encoded images."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def is_encodable(text: str) -> bool:
    """Whether a text can be encoded as UTF-8. Lone surrogates cannot; they also stand for invalid bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_blank(text: str) -> bool:
    """Whether a text is invisible: only white space, control and format characters, selectors and fillers."""
    return _VISIBLE_ASCII.search(text) is None and all(map(_is_invisible, text))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_KINDS or (
        unicodedata.name(character, "").startswith(_INVISIBLE_NAMES)
    )


def read_lines(
    path: str | Path, strict: bool = True, encoding: str | None = None, mentions_option: bool = True
) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, text with its line ending) of each line of a text file, plain or `.gz`.

    Only `\n` ends a line: U+2028, form feeds and lone carriage returns are part of the text. A byte order
    mark is dropped. Only one line is held in memory, so a decompression bomb is rejected early.

    Args:
        path: the file.
        strict: reject NUL characters and invalid UTF-8; otherwise they stay in the text, invalid bytes as
            U+DC80 to U+DCFF, which `is_encodable` detects.
        encoding: value of `data.encoding`; None for UTF-8. Other encodings than UTF-8 are always decoded
            strictly.
        mentions_option: whether messages about a given encoding advise to change `data.encoding`.

    Raises:
        UserError: the file cannot be opened, is not in gzip format despite its suffix, is not UTF-8, contains
            a NUL byte, has a line of more than 4 MiB, or decompresses to more than `GZIP_UNCHECKED_BYTES` and
            `GZIP_MAX_RATIO` times its size.
    """
    path = str(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{path}: a pipe or a device; expected a text file.")
        with open(path, "rb") as file:
            packed = file if path.endswith(".gz") else None
            if packed is not None:
                _reject_bomb_at_once(path, packed)
            # Either kind of stream has `readline`; their static types have no common ancestor with it.
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if packed else file)
            if encoding is None or codecs.lookup(encoding).name == "utf-8":
                yield from _decoded_lines(
                    path, stream, packed, strict, mentions_option and encoding is not None
                )
            else:
                yield from _transcoded_lines(path, stream, packed, encoding, mentions_option)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: not a complete gzip file ({error}); compress it again or remove the suffix .gz."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a text file.") from None


def _transcoded_lines(
    path: str, stream: IO[bytes], packed: IO[bytes] | None, encoding: str, mentions_option: bool
) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file in an encoding other than UTF-8, like `_decoded_lines`."""
    number = size = 0
    with io.TextIOWrapper(cast("io.BufferedReader", stream), encoding, newline="\n") as texts:
        try:
            while line := texts.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise UserError(
                        f"{path}:{number}: the line is longer than {MAX_LINE_BYTES:,} characters; is this a "
                        "text file with one example per line?"
                    )
                size += len(line)
                if packed is not None:
                    _reject_bomb(f"{path}:{number}", packed, size)
                if "\0" in line:
                    raise UserError(
                        f"{path}:{number}: NUL character; a text file in {encoding} cannot have one."
                    )
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeError as error:
            advice = (
                "set data.encoding to that of the file"
                if mentions_option
                else "save the file in this encoding, that of the training data"
            )
            raise UserError(
                f"{path}: invalid {encoding} somewhere after line {number} ({error}); {advice}."
            ) from None


def read_standard_input(strict: bool = True) -> Iterator[tuple[int, str]]:
    """Yields the lines of standard input, like `read_lines`."""
    # Another thread that waits in `sys.stdin` would keep Python from ending.
    with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
        yield from _decoded_lines("standard input", stream, None, strict)


def _decoded_lines(
    path: str, stream: IO[bytes], packed: IO[bytes] | None, strict: bool, mentions_option: bool = False
) -> Iterator[tuple[int, str]]:
    offset = 0
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise UserError(
                f"{path}:{number}: the line is longer than {MAX_LINE_BYTES:,} bytes; is this a text file "
                "with one example per line?"
            )
        if number == 1:
            for start, advice in _OTHER_FORMATS:
                if raw.startswith(start):
                    option = (
                        ", or set data.encoding: utf-16" if mentions_option and "UTF-16" in advice else ""
                    )
                    raise UserError(f"{path}:1: not plain UTF-8 text; {advice}{option}.")
            if raw.startswith(_UTF8_BOM):
                raw = raw[len(_UTF8_BOM) :]
                offset += len(_UTF8_BOM)
        text = (
            _decode(path, number, raw, offset, mentions_option)
            if strict
            else raw.decode("utf-8", "surrogateescape")
        )
        offset += len(raw)
        if packed is not None:
            _reject_bomb(f"{path}:{number}", packed, offset)
        yield number, text


def _decode(path: str, number: int, raw: bytes, offset: int, mentions_option: bool) -> str:
    position = raw.find(b"\0")
    skip = ", or leave out such lines with data.on_bad_record: skip" if mentions_option else ""
    if position >= 0:
        raise UserError(
            f"{path}:{number}: NUL byte at byte {offset + position} of the file, which text cannot have; "
            f"remove it{skip}."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        option = _encoding_advice(path) if mentions_option else ""
        raise UserError(
            f"{path}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} "
            f"of the file ({error.reason}); save the file as UTF-8{option}{skip}."
        ) from None


def _encoding_advice(path: str) -> str:
    """Returns advice that names the probable encoding of a file, for the end of a message, or nothing."""
    import charset_normalizer

    try:
        with open(path, "rb") as file:
            packed = path.endswith(".gz")
            sample = (gzip.GzipFile(fileobj=file) if packed else file).read(_SAMPLE_BYTES)
    except (OSError, EOFError, zlib.error):
        return ""
    match = charset_normalizer.from_bytes(sample, cp_isolation=[*_LIKELY_ENCODINGS]).best()
    if match is None:
        return ""
    equivalent = match.could_be_from_charset  # all decode the sample to the same text
    name = next(one for one in (*_LIKELY_ENCODINGS, match.encoding) if one in equivalent)
    return f", or set data.encoding: {name.replace('_', '-')} if that is its encoding"


def _reject_bomb_at_once(path: str, packed: IO[bytes]) -> None:
    """Rejects a file whose beginning is that of a bomb, before minutes are spent on its lines."""
    size = 0
    with contextlib.suppress(EOFError, zlib.error, gzip.BadGzipFile):  # said where it is read
        stream = gzip.GzipFile(fileobj=packed)
        while size <= GZIP_UNCHECKED_BYTES and (chunk := stream.read(_SCANNED_BYTES)):
            size += len(chunk)
    _reject_bomb(path, packed, size)
    packed.seek(0)


def _reject_bomb(location: str, packed: IO[bytes], size: int) -> None:
    """Rejects a file that decompresses to far more bytes than were read."""
    read = packed.tell()
    if size > max(GZIP_UNCHECKED_BYTES, GZIP_MAX_RATIO * read):
        raise UserError(
            f"{location}: decompresses to more than {GZIP_MAX_RATIO} times its {read:,} bytes, "
            "like a decompression bomb; if it is not one, decompress it yourself."
        )
