"""C7: ten thousand files with random damage are read or refused; nothing else ever happens."""

import gzip
import time
import warnings

import numpy as np
import pytest

from attnzoo import tasks
from attnzoo.config import RunConfig
from attnzoo.data import examples
from attnzoo.data.datasets import csv, image_folder, parallel_text
from attnzoo.data.splits import split_validation
from attnzoo.errors import EXIT_USER, DataWarning, UserError
from tests.conftest import ROOT
from tests.robustness import malformed
from tests.robustness.malformed_images import picture

TRIES = 10_000
SECONDS = 10
QUOTED = malformed.TABLE + b'"a ""quoted"" text,\nof two lines",en\n' * 3
JSON = b"".join(
    b'{"text": "%s", "label": "%s"}\n' % (text.encode(), label.encode()) for text, label in malformed.ROWS
)
LINES = "one \u00e9\ntwo \u2028\nthree\n\U0001f600 four\n".encode()
TOKENS = [
    b"\0",
    b"\xff",
    b'"',
    b"\n",
    b"\r",
    b",",
    b"{",
    b"[",
    b"]",
    b": ",
    b"- ",
    b"\t",
    b"&a ",
    b"*a ",
    b"1e999",
    b"\xed\xa0\x80",
]


def mutated(data, generator):
    """Returns the data with 1 to 4 changes: a byte, a bit, a token, a piece twice, less or elsewhere."""
    changed = bytearray(data)
    for _ in range(generator.integers(1, 5)):
        start, end = sorted(generator.integers(0, len(changed) + 1, 2))
        end = min(end, start + 64)
        kind = generator.integers(6)
        if kind == 0 and start < len(changed):
            changed[start] = generator.integers(256)
        elif kind == 1 and start < len(changed):
            changed[start] ^= 1 << generator.integers(8)
        elif kind == 2:
            changed[start:start] = TOKENS[generator.integers(len(TOKENS))]
        elif kind == 3:
            changed[start:start] = changed[start:end]
        elif kind == 4:
            del changed[start:end]
        elif generator.integers(4) == 0:
            del changed[start:]
    return bytes(changed)


def read_table(path, data, suffix):
    file = path / f"train.{suffix}"
    file.write_bytes(data)
    csv.load(csv.Config(name="csv", train=str(file)), tasks.load("text_classification").features, 0)


def read_pair(path, data):
    (path / "a").write_bytes(data)
    (path / "b").write_bytes(LINES)
    config = parallel_text.Config(name="parallel_text", train=[str(path / "a"), str(path / "b")])
    parallel_text.load(config, tasks.load("translation").features, 0)


def read_config(path, data):
    file = path / "config.yaml"
    file.write_bytes(data)
    RunConfig.read(file)


def read_picture(path, data):
    for label in ("bright", "dark"):
        (path / label).mkdir(exist_ok=True)
    (path / "bright" / "0").write_bytes(picture("PNG"))
    (path / "dark" / "0").write_bytes(data)
    config = image_folder.Config(name="image_folder", train=str(path))
    features = tasks.load("image_classification").features
    splits = split_validation(image_folder.load(config, features, 0), 0.5, 0)
    examples.learn(splits, config, "image_classification", features)


CONFIG = (ROOT / "configs" / "translate_dates.yaml").read_bytes()
KINDS = {
    "csv": (0.2, QUOTED, lambda path, data: read_table(path, data, "csv")),
    "jsonl": (0.2, JSON, lambda path, data: read_table(path, data, "jsonl")),
    "gzip": (0.1, gzip.compress(QUOTED, mtime=0), lambda path, data: read_table(path, data, "csv.gz")),
    "pair": (0.1, LINES, read_pair),
    "config": (0.2, CONFIG, read_config),
    "png": (0.05, picture("PNG"), read_picture),
    "jpeg": (0.05, picture("JPEG"), read_picture),
    "gif": (0.04, picture("GIF", "P"), read_picture),
    "webp": (0.02, picture("WEBP", lossless=True), read_picture),
    "bmp": (0.04, picture("BMP"), read_picture),
}


def refusal(read, folder, data):
    """Returns the error of a reader, None if it took the data; anything else that it raises is a bug."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            read(folder, data)
    except UserError as error:
        return error
    except Exception as error:
        raise AssertionError(repr(data)) from error
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_c7_random_damage_is_read_or_refused_in_one_line(tmp_path, kind):
    share, data, read = KINDS[kind]
    generator = np.random.default_rng(len(data))
    errors = 0
    for _ in range(round(share * TRIES)):
        damaged = mutated(data, generator)
        begin = time.monotonic()
        error = refusal(read, tmp_path, damaged)
        assert time.monotonic() - begin <= SECONDS, damaged
        if error is not None:
            errors += 1
            assert error.exit_code == EXIT_USER, damaged
            lines = str(error).splitlines()
            assert lines, damaged
            assert all(line.isprintable() for line in lines), (lines, damaged)
    assert errors > 0
