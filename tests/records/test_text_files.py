import gzip
import re

import pytest

from attnzoo.errors import UserError
from attnzoo.records import text_files
from attnzoo.records.text_files import object_array, read_lines


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_only_newlines_end_a_line_and_a_byte_order_mark_is_dropped(tmp_path, name):
    path = write(tmp_path / name, "\ufeffone\u2028still one\r\ntwo\x0c\r\nthree".encode())
    assert list(read_lines(path)) == [(1, "one\u2028still one\r\n"), (2, "two\x0c\r\n"), (3, "three")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab\ncd\xffe\n", ":2: not UTF-8: byte 0xff at byte 5 of the file"),
        (b"\xef\xbb\xbfab\ncd\xffe\n", ":2: not UTF-8: byte 0xff at byte 8 of the file"),
        (b"\xc0\xaf\n", ":1: not UTF-8: byte 0xc0 at byte 0 of the file"),
        (b"ok\nx\0y\n", ":2: NUL byte at byte 4 of the file"),
        ("text".encode("utf-16"), ":1: not plain UTF-8 text; it looks like UTF-16"),
        (
            "text".encode("utf-16-be").join([b"\xfe\xff", b""]),
            ":1: not plain UTF-8 text; it looks like UTF-16",
        ),
        (
            gzip.compress(b"x", mtime=0),
            ":1: not plain UTF-8 text; it is gzip data: name the file with the suffix .gz",
        ),
        (b"PK\x03\x04rest", ":1: not plain UTF-8 text; it is a zip"),
        (b"short\n" + b"x" * (4 << 20) + b"yz\n", ":2: the line is longer than 4,194,304 bytes"),
    ],
)
def test_bytes_that_are_not_text_are_named_with_file_line_and_byte(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"{path}{message}")):
        list(read_lines(path))


def test_a_missing_file_a_folder_and_a_broken_gzip_file_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt: not found"):
        list(read_lines(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="cannot be read \\(Is a directory\\)"):
        list(read_lines(tmp_path))
    (tmp_path / "plain.gz").write_bytes(b"plain text")
    with pytest.raises(UserError, match=r"plain\.gz: not a complete gzip file \(Not a gzipped file"):
        list(read_lines(tmp_path / "plain.gz"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"some text\n" * 997)[:-11])
    with pytest.raises(UserError, match=r"cut\.gz: not a complete gzip file"):
        list(read_lines(tmp_path / "cut.gz"))
    damaged = bytearray(gzip.compress(bytes(range(1, 128)) * 31))
    damaged[20] ^= 0xFF
    (tmp_path / "bad.gz").write_bytes(damaged)
    with pytest.raises(UserError, match=r"bad\.gz"):
        list(read_lines(tmp_path / "bad.gz"))


def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "GZIP_UNCHECKED_BYTES", 1 << 16)
    path = write(tmp_path / "bomb.txt.gz", (b"x" * 61 + b"\n") * 50_000)
    with pytest.raises(
        UserError, match=r"bomb\.txt\.gz: decompresses to more than 100 times its [\d,]+ bytes"
    ):
        list(read_lines(path))
    monkeypatch.undo()
    zeros = write(tmp_path / "zeros.txt.gz", b"\0" * (5 << 20))
    with pytest.raises(UserError, match=r"zeros\.txt\.gz:1: the line is longer"):
        list(read_lines(zeros))


def test_a_repetitive_file_of_some_megabytes_is_no_bomb(tmp_path):
    path = write(tmp_path / "log.txt.gz", b"service started on host\n" * 70_000)
    assert path.stat().st_size * 200 < 70_000 * 24
    assert sum(1 for _ in read_lines(path)) == 70_000


def test_texts_of_one_length_stay_one_dimensional():
    assert object_array(["ab", "cd"]).shape == (2,)
    assert object_array([]).shape == (0,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n",
        "\u200b",
        "\ufeff\u200d",
        "\u00ad\u2060",
        "\x01\x7f",
        "\ufe0f",
        "\u3164\u2800",
        "\U000e0100",
    ],
)
def test_texts_of_what_nobody_sees_are_blank(text):
    assert text_files.is_blank(text)


@pytest.mark.parametrize("text", ["a", "\u200bا", "\u0301", "\ue000", "👩\u200d👧", "한", "."])
def test_texts_of_what_somebody_sees_are_not(text):
    assert not text_files.is_blank(text)
