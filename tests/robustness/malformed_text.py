"""Malformed tables, JSON Lines, gzip files and parallel texts."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile

from tests.robustness.malformed import TABLE, Case, holding, nothing

FIRST_JSON = '{"text": "good morning", "label": "en"}\n{"text": "guten morgen", "label": "de"}\n'
MEBIBYTE = 1 << 20


def json_case(name: str, line: str | bytes, message: str) -> Case:
    """A third line that is wrong in a file of JSON Lines."""
    content = FIRST_JSON.encode() + (line.encode() if isinstance(line, str) else line) + b"\n"
    return Case(f"jsonl: {name}", "train.jsonl", f":3: {message}", holding(content))


def csv_case(name: str, end: str | bytes, message: str, file: str = "train.csv") -> Case:
    """A table that ends wrong; its 14th line is the first of the end."""
    content = TABLE + (end.encode() if isinstance(end, str) else end)
    return Case(f"csv: {name}", file, message, holding(content))


def whole(name: str, content, message: str, file: str = "train.csv", **options: str) -> Case:
    """A file that is wrong as a whole."""
    return Case(f"{file.partition('.')[2]}: {name}", file, message, holding(content), **options)


def zip_file() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("train.csv", TABLE)
    return stream.getvalue()


def damaged_deflate() -> bytes:
    packed = bytearray(gzip.compress(TABLE))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


def wrong_checksum() -> bytes:
    packed = bytearray(gzip.compress(TABLE))
    packed[-5] ^= 1
    return bytes(packed)


NOT_UTF8 = "not UTF-8: byte 0x"
CSV = [
    Case("csv: no file", "train.csv", ": not found; check the path", nothing),
    whole("empty", b"", ": empty; the first line must name the column"),
    whole("only empty lines", b"\n\n\n", ": empty; the first line must name"),
    whole("only a byte order mark", b"\xef\xbb\xbf", ": empty; the first line must name"),
    whole("only a header", b"text,label\n", ": only a header; at least one example is needed"),
    whole("no header", b"good morning,en\nguten tag,de\n", ":1: no column 'text'; the header has: good"),
    whole("a misspelt column", b"text,lable\na,b\n", ":1: no column 'label' (did you mean 'lable'?)"),
    whole("a column twice", b"text,label,text\na,b,c\n", ":1: column 'text' occurs 2 times"),
    whole("JSON in a csv file", FIRST_JSON, ":1: no column 'text'"),
    whole("a web page", b"<!DOCTYPE html>\n<html>\n</html>\n", ":1: no column 'text'"),
    whole(
        "a line break in a name", b'"te\nxt",label\na,b\n', ":1: no column 'text' (did you mean 'te\\nxt'?)"
    ),
    whole("a header of 300,000 columns", lambda: b"a," * 300_000, ":1: no column 'text'"),
    whole("one label", b"text,label\na,b\nc,b\n", ": every example has the label 'b'"),
    whole("a picture", b"\x89PNG\r\n\x1a\n" + bytes(99), ":1: "),
    whole("UTF-16 LE", TABLE.decode().encode("utf-16"), ":1: not plain UTF-8 text; it looks like UTF-16"),
    whole(
        "UTF-16 BE", b"\xfe\xff" + TABLE.decode().encode("utf-16-be"), ":1: not plain UTF-8 text; it looks"
    ),
    whole("UTF-16 unmarked", TABLE.decode().encode("utf-16-le"), ":1: NUL byte at byte 1 of the file"),
    whole("UTF-32", TABLE.decode().encode("utf-32"), ":1: not plain UTF-8 text"),
    whole("gzip under another name", gzip.compress(TABLE), ":1: not plain UTF-8 text; it is gzip data"),
    whole("an office file", zip_file, ":1: not plain UTF-8 text; it is a zip or office file"),
    whole("a line of 100 MB", lambda: b"x" * 100_000_000, ":1: the line is longer than 4,194,304 bytes"),
    whole("old Mac line ends", TABLE.replace(b"\n", b"\r"), ":1: a lone carriage return outside quotes"),
    whole("another suffix", TABLE, ": unknown suffix '.xlsx'; expected .csv, .tsv or .jsonl", "train.xlsx"),
    Case("csv: a folder", "train.csv", ": cannot be read (Is a directory)", lambda path: path.mkdir()),
    Case("csv: a pipe", "train.csv", ": a pipe or a device; expected a text file", os.mkfifo),
    csv_case("too many columns", "one,en,more\n", ":14: 3 columns; the header has 2 ('text,label')"),
    csv_case("too few columns", "one\n", ":14: 1 columns; the header has 2"),
    csv_case("an empty line before it", "\n\none\n", ":16: 1 columns; the header has 2"),
    csv_case("a line break before it", '"a\nb",en\none\n', ":16: 1 columns; the header has 2"),
    csv_case(
        "an open quote", '"one,en\ntwo,de\n', ':14: the quote (") that starts in this record is never closed'
    ),
    csv_case("text after a quote", '"one"two,en\n', ":14: ',' expected after '\"'"),
    csv_case(
        "an open quote before 2 MiB", '"' + "one,en\n" * 300_000, ":14: a field is longer than 1,048,576"
    ),
    csv_case("a field of 1 MiB", "x" * (MEBIBYTE + 1) + ",en\n", ":14: a field is longer than 1,048,576"),
    csv_case("NUL", b"o\0ne,en\n", ":14: NUL byte at byte"),
    csv_case("a wrong byte", b"o\xffne,en\n", f":14: {NOT_UTF8}ff at byte"),
    csv_case("Latin-1", "grüße,de\n".encode("latin-1"), f":14: {NOT_UTF8}fc at byte"),
    csv_case("an overlong encoding", b"\xc0\xaf,en\n", f":14: {NOT_UTF8}c0 at byte"),
    csv_case("a lone surrogate", b"\xed\xa0\x80,en\n", f":14: {NOT_UTF8}ed at byte"),
    csv_case("cut inside a character", "one,en\nzwölf".encode()[:-3], f":15: {NOT_UTF8}c3 at byte"),
    csv_case("no text", ",en\n", ":14: the text is empty"),
    csv_case("white space for a text", "\u2003 ,en\n", ":14: the text is empty"),
    csv_case("no label", "one,\n", ":14: the label is empty"),
    csv_case("a label of 1001 letters", "one," + "x" * 1001 + "\n", ":14: the label is longer than 1,000"),
    csv_case("an unknown label", "one,eng\n", ":14: label 'eng' does not occur in train", "test.csv"),
    csv_case(
        "a label of two lines", 'one,"e\nn"\n', ":14: label 'e\\nn' does not occur in train", "test.csv"
    ),
    csv_case(
        "a control sequence", "one,\x1b[2J\n", ":14: label '\\x1b[2J' does not occur in train", "test.csv"
    ),
    whole("too many columns", b"text\tlabel\na\tb\tc\n", ":2: 3 columns; the header has 2", "train.tsv"),
    whole("an open quote", b'text\tlabel\n"a\tb\n', ':2: the quote (") that starts in this', "train.tsv"),
]

JSON = [
    whole("empty", b"\n\n", ": empty; expected one JSON object per line", "train.jsonl"),
    whole(
        "an array over lines",
        json.dumps([{"text": "a"}], indent=1),
        ":1: not a single JSON object",
        "train.jsonl",
    ),
    json_case("single quotes", "{'text': 1}", "not a single JSON object: Expecting property name"),
    json_case("a comma at the end", '{"text": "a", "label": "b",}', "not a single JSON object"),
    json_case("a comment", '{"text": "a"} // b', "not a single JSON object: Extra data at column 15"),
    json_case("cut off", '{"text": "a", "lab', "not a single JSON object: Unterminated string"),
    json_case(
        "two objects", '{"text": "a", "label": "b"} {}', "not a single JSON object: Extra data at column 29"
    ),
    json_case("NaN", '{"text": "a", "label": NaN}', "NaN is not JSON"),
    json_case("Infinity", '{"text": "a", "label": -Infinity}', "-Infinity is not JSON"),
    json_case("a key twice", '{"text": "a", "text": "b", "label": "c"}', "key 'text' occurs twice"),
    json_case(
        "200,000 keys and one twice",
        "{" + "".join(f'"{number}": 1, ' for number in range(200_000)) + '"text": "a", "text": "b"}',
        "key 'text' occurs twice",
    ),
    json_case("a list", '["a", "b"]', 'expected a JSON object such as {...}; got ["a", "b"]'),
    json_case("text alone", '"a"', "expected a JSON object"),
    json_case("a number alone", "17", "expected a JSON object such as {...}; got 17"),
    json_case("a missing key", '{"txt": "a", "label": "b"}', "no key 'text' (did you mean 'txt'?)"),
    json_case(
        "a key of two lines", '{"te\\nxt": "a", "label": "b"}', "no key 'text' (did you mean 'te\\nxt'?)"
    ),
    json_case("a number for a text", '{"text": 5, "label": "b"}', "'text' must be a string; got 5"),
    json_case("a float label", '{"text": "a", "label": 0.5}', "'label' must be a string or a whole number"),
    json_case("a label too large", '{"text": "a", "label": 1e999}', "'label' must be a string or a whole"),
    json_case(
        "true for a label", '{"text": "a", "label": true}', "'label' must be a string or a whole number"
    ),
    json_case("no label", '{"text": "a", "label": null}', "'label' must be a string or a whole number"),
    json_case("a list of labels", '{"text": "a", "label": ["b"]}', "'label' is a list, expected one label"),
    json_case(
        "a lone surrogate",
        '{"text": "\\ud800", "label": "b"}',
        "lone surrogate (half a character) in the text",
    ),
    json_case("NUL", '{"text": "a\\u0000", "label": "b"}', "NUL character in the text"),
    json_case(
        "a raw control character",
        '{"text": "a\x01", "label": "b"}',
        "not a single JSON object: Invalid control",
    ),
    json_case("5,000 digits", '{"text": "a", "label": ' + "9" * 5000 + "}", "not readable JSON (ValueError)"),
    json_case("4,000 digits", '{"text": "a", "label": ' + "9" * 4000 + "}", "the label is longer than 1,000"),
    json_case("100,000 levels", '{"text": ' + "[" * 100_000, "not "),
    json_case("900 levels", '{"text": ' + "[" * 900 + "]" * 900 + ', "label": 1}', "'text' must be a string"),
    json_case("a wrong byte", b'{"text": "\xfe", "label": "b"}', f"{NOT_UTF8}fe at byte"),
    json_case("no text", '{"text": " ", "label": "b"}', "the text is empty"),
]

GZIP = [
    whole("not gzip", TABLE, ": not a complete gzip file (Not a gzipped file", "train.csv.gz"),
    whole("cut off", gzip.compress(TABLE)[:-11], ": not a complete gzip file", "train.csv.gz"),
    whole("only a header", gzip.compress(TABLE)[:10], ": not a complete gzip file", "train.csv.gz"),
    whole("a wrong checksum", wrong_checksum, ": not a complete gzip file (CRC check failed", "train.csv.gz"),
    # What comes out before the damage is noticed may be a row that is wrong.
    whole("damaged", damaged_deflate, ":", "train.csv.gz"),
    whole("text behind it", gzip.compress(TABLE) + b"more", ": not a complete gzip file", "train.csv.gz"),
    whole("empty", b"", ": empty; the first line must name", "train.csv.gz"),
    whole("a wrong line inside", gzip.compress(TABLE + b"one\n"), ":14: 1 columns", "train.csv.gz"),
]

PAIRS = [
    Case("pair: a line more", "train.b", " has 5; line n of one must be", holding(b"a\n" * 5)),
    Case("pair: a line less", "train.b", " has 3; line n of one must be", holding(b"a\n" * 3)),
    Case("pair: an empty line at the end", "train.b", " has 5; ", holding(b"a\n" * 4 + b"\n")),
    Case("pair: an empty file", "train.b", " has 0; line n of one must be", holding(b"")),
    Case("pair: no file", "train.b", ": not found; check the path", nothing),
    Case("pair: one line empty", "train.b", ":2: the line is empty but line 2", holding(b"a\n\nc\nd\n")),
    Case("pair: white space", "train.b", ":4: the line is empty but line 4", holding(b"a\nb\nc\n \t\n")),
    Case("pair: a wrong byte", "train.b", f":3: {NOT_UTF8}ff at byte 4", holding(b"a\nb\n\xff\nd\n")),
    Case("pair: NUL", "train.b", ":1: NUL byte at byte 1 of the file", holding(b"a\0\nb\nc\nd\n")),
    Case("pair: UTF-16", "train.b", ":1: not plain UTF-8", holding("a\nb\nc\nd\n".encode("utf-16"))),
    Case(
        "pair: a line of 1 MiB",
        "train.b",
        ":1: longer than 1,048,576 characters",
        holding(b"x" * (MEBIBYTE + 1) + b"\nb\nc\nd\n"),
    ),
]
