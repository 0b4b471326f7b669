"""Text files read strictly, line by line: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import codecs
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
"""Longest text of one example, in characters: more is a file of another kind or an unterminated quote."""

MAX_LINE_BYTES = 4 * MAX_TEXT_CHARACTERS
GZIP_FREE_BYTES = 1 << 20
GZIP_MAX_RATIO = 100
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
_LIKELY_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r"),
    *("shift_jis", "euc_jp", "euc_kr", "gb18030", "big5"),
)
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


def is_blank(text: str) -> bool:
    """Whether nothing of a text is seen: white space, control and format characters, selectors, fillers."""
    return _VISIBLE_ASCII.search(text) is None and all(map(_is_invisible, text))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_KINDS or (
        unicodedata.name(character, "").startswith(_INVISIBLE_NAMES)
    )


def read_lines(
    path: str | Path, strict: bool = True, encoding: str | None = None
) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, text with its line ending) of a text file, plain or gzip (`.gz`).

    Only `\n` ends a line: U+2028, form feeds and lone carriage returns are part of the text. A byte order
    mark is dropped. Memory stays at one line, so that a decompression bomb is refused while it is small.

    Args:
        path: the file.
        strict: refuse NUL and bytes that are not UTF-8; else they are left in the text, the bytes as U+DC80
            to U+DCFF, which are not `encodable`.
        encoding: as `data.encoding` says, which messages name then; None for UTF-8. Whatever another one than
            UTF-8 cannot decode is refused.

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
            if encoding is None or codecs.lookup(encoding).name == "utf-8":
                yield from _decoded_lines(path, stream, packed, strict, encoding is not None)
            else:
                yield from _lines_of_encoding(path, stream, packed, encoding)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path (it is relative to {os.getcwd()}).") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: not a whole gzip file ({error}); pack it again or drop the suffix .gz."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a text file is expected.") from None


def _lines_of_encoding(
    path: str, stream: IO[bytes], packed: IO[bytes] | None, encoding: str
) -> Iterator[tuple[int, str]]:
    """Yields what `_decoded_lines` yields of a file in another encoding."""
    number = unpacked = 0
    with io.TextIOWrapper(cast("io.BufferedReader", stream), encoding, newline="\n") as texts:
        try:
            while line := texts.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise UserError(
                        f"{path}:{number}: the line is longer than {MAX_LINE_BYTES:,} characters; is this a "
                        "text file with one example a line?"
                    )
                unpacked += len(line)
                if packed is not None:
                    _refuse_bomb(path, number, packed, unpacked)
                if "\0" in line:
                    raise UserError(f"{path}:{number}: NUL; a text file in {encoding} has none.")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeError as error:
            raise UserError(
                f"{path}: not {encoding}, somewhere after line {number} ({error}); set data.encoding to that "
                "of the file."
            ) from None


def read_standard_input() -> Iterator[tuple[int, str]]:
    """Yields what `read_lines` yields of a file."""
    yield from _decoded_lines("standard input", sys.stdin.buffer, None, strict=True)


def _decoded_lines(
    path: str, stream: IO[bytes], packed: IO[bytes] | None, strict: bool, names_option: bool = False
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
                    option = ", or set data.encoding: utf-16" if names_option and "UTF-16" in advice else ""
                    raise UserError(f"{path}:1: not plain UTF-8 text; {advice}{option}.")
            if raw.startswith(_UTF8_BOM):
                raw = raw[len(_UTF8_BOM) :]
                offset += len(_UTF8_BOM)
        text = (
            _decode(path, number, raw, offset, names_option)
            if strict
            else raw.decode("utf-8", "surrogateescape")
        )
        offset += len(raw)
        if packed is not None:
            _refuse_bomb(path, number, packed, offset)
        yield number, text


def _decode(path: str, number: int, raw: bytes, offset: int, names_option: bool) -> str:
    position = raw.find(b"\0")
    if position >= 0:
        raise UserError(
            f"{path}:{number}: NUL byte at byte {offset + position} of the file; a text file has none: "
            "remove it."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        or_option = _likely_encoding(path) if names_option else ""
        raise UserError(
            f"{path}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} "
            f"of the file ({error.reason}); save the file as UTF-8{or_option}."
        ) from None


def _likely_encoding(path: str) -> str:
    """Returns a phrase that names the encoding that a file is probably in, for the end of a message."""
    import charset_normalizer

    try:
        with open(path, "rb") as file:
            packed = path.endswith(".gz")
            sample = (gzip.GzipFile(fileobj=file) if packed else file).read(_SAMPLE_BYTES)
    except (OSError, EOFError, zlib.error):
        return ""
    found = charset_normalizer.from_bytes(sample, cp_isolation=[*_LIKELY_ENCODINGS]).best()
    if found is None:
        return ""
    alike = found.could_be_from_charset  # the most usual one of those that read the sample as the same text
    name = next(one for one in (*_LIKELY_ENCODINGS, found.encoding) if one in alike)
    return f", or set data.encoding: {name.replace('_', '-')} if that is what it is"


def _refuse_bomb(path: str, number: int, packed: IO[bytes], unpacked: int) -> None:
    """Holds what was unpacked so far against what was read for it."""
    read = packed.tell()
    if unpacked > max(GZIP_FREE_BYTES, GZIP_MAX_RATIO * read):
        raise UserError(
            f"{path}:{number}: unpacks to more than {GZIP_MAX_RATIO} times its {read:,} bytes; "
            "this looks like a decompression bomb. Unpack it yourself if it is not."
        )
