"""C1 and C2: whatever is wrong with a file, one line says what and where, soon, in little memory."""

import gzip
import json
import math
import re
import shutil
import zlib

import pytest

from attnzoo import tasks
from attnzoo.data.datasets import csv, parallel_text
from attnzoo.errors import EXIT_USER, UserError
from attnzoo.images.decoding import PixelFormat, decode
from attnzoo.images.image_files import parse_header
from attnzoo.records import text_records
from tests import commands
from tests.robustness import malformed
from tests.robustness.malformed import Case, holding
from tests.robustness.malformed_config import CONFIGS
from tests.robustness.malformed_images import BAD, BOMBS, IMAGES, picture, png, sound_pictures
from tests.robustness.malformed_text import CSV, GZIP, JSON, PAIRS
from tests.thinned import thinned

SECONDS = 10
PEAK_BYTES = 1 << 30
BOMB_SECONDS = 2
BOMB_BYTES = 200 << 20

CASES = [
    *((malformed.prepare_table, case) for case in (*CSV, *JSON, *GZIP)),
    *((malformed.prepare_pair, case) for case in PAIRS),
    *((malformed.prepare_images, case) for case in IMAGES),
    *((malformed.prepare_config, case) for case in CONFIGS),
]


def gzip_bomb(lying: bool) -> bytes:
    """128 MiB of rows in 130 kB; one that lies says at its end that it is empty."""
    packer = zlib.compressobj(9, wbits=31)
    rows = b"good morning,en\n" * (1 << 16)
    packed = b"".join(
        [packer.compress(b"text,label\n"), *(packer.compress(rows) for _ in range(128)), packer.flush()]
    )
    return packed[:-4] + bytes(4) if lying else packed


def assert_refused(ended, case):
    """One line that names the file and says what is wrong, no traceback, no signal."""
    assert "Traceback" not in ended.err
    assert ended.code == EXIT_USER, ended
    # Libraries that decode images may add a line of their own about the file; oneDNN would about the machine.
    assert "oneDNN" not in ended.err
    told = [line for line in ended.err.splitlines() if line.startswith("attnzoo:")]
    lines = [line for line in told if not line.startswith("attnzoo: note: ")]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith(f"attnzoo: error: {case.file}{case.message}") or (
        # Two files with different line counts are named both, in the order of the config.
        lines[0].startswith("attnzoo: error: train.a has") and f"{case.file}{case.message}" in lines[0]
    ), lines[0]
    assert len(lines[0]) < 1000


def test_c1_there_are_at_least_80_malformed_inputs_with_names_of_their_own():
    names = [case.name for _, case in CASES]
    assert len(names) == len(set(names)) >= 80


@pytest.mark.parametrize(("prepare", "case"), thinned(CASES, 6, [case.name for _, case in CASES]))
def test_c1_a_malformed_input_ends_training_with_one_line_that_names_it(tmp_path, prepare, case):
    config = prepare(tmp_path, case)
    ended = commands.run("train", config, "--run", "run", folder=tmp_path, limit_seconds=2 * SECONDS)
    assert_refused(ended, case)
    assert ended.seconds <= SECONDS
    assert ended.peak_bytes <= PEAK_BYTES
    assert not (tmp_path / "run" / "config.yaml").exists()


# What is wrong with labels does not matter here, nor does a suffix: a file of another kind is one of lines.
TEXT_CASES = [
    case
    for case in (*CSV, *JSON, *GZIP)
    if ("label" not in case.message or "columns" in case.message) and not case.file.endswith(".xlsx")
]


@pytest.mark.parametrize("case", TEXT_CASES, ids=[case.name for case in TEXT_CASES])
def test_c1_a_malformed_record_among_texts_to_be_answered_is_named(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    case.build(tmp_path / case.file)
    columns = text_records.Columns("text")
    try:
        records = list(text_records.read_texts(case.file, text_records.text_format(case.file), columns))
        problem = next(record.problem for record in records if record.problem is not None)
    except UserError as error:  # of the file as a whole
        problem = error
    assert problem.exit_code == EXIT_USER
    message, named = str(problem), re.sub(" at byte.*", "", case.message)
    assert message.startswith(f"{case.file}{named}")
    assert "\n" not in message
    assert len(message) < 1000


def test_c1_predict_answers_what_is_around_a_malformed_record(tmp_path, runs):
    assert len(TEXT_CASES) >= 60
    (case,) = (case for case in TEXT_CASES if case.name == "jsonl: a key twice")
    case.build(tmp_path / case.file)
    ended = commands.run("predict", runs["text"], case.file, "--json", folder=tmp_path)
    assert ended.code == 0
    assert ended.err.startswith(
        "attnzoo: warning: 1 of 3 inputs has no answer: 1 with a duplicate key (first: "
    )
    *given, last = (json.loads(line) for line in ended.out.splitlines())
    assert [sorted(one["probabilities"]) for one in given] == [["de", "en"]] * 2
    assert (last["label"], last["error"].startswith(f"{case.file}{case.message}")) == (None, True)
    assert ended.peak_bytes <= PEAK_BYTES


def test_c1_tables_that_look_odd_are_read_and_a_file_damaged_later_ends_eval_with_one_line(tmp_path):
    rows = [
        '"one,\r\ntwo ""three""",en',
        "eins\u2028zwei\x85drei,de",
        "a\u200cb,en",
        "?,de",
        "",
        "a\u0301\U0001f600,en",
    ]
    table = "\ufefftext,label\r\n" + "\r\n".join(rows) + "\n" + malformed.TABLE.decode().partition("\n")[2]
    case = Case("", "train.csv", "", holding(table))
    config = malformed.prepare_table(tmp_path, case)
    ended = commands.run("train", config, "--run", "run", folder=tmp_path)
    assert ended.code == 0, ended.err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert math.isfinite(result["metrics"]["loss"])

    (tmp_path / "test.csv").write_bytes(malformed.TABLE + b"one,en,more\n")
    ended = commands.run("eval", "run", folder=tmp_path)
    assert_refused(ended, Case("", "test.csv", ":14: 3 columns; the header has 2", malformed.nothing))


def test_c1_c2_odd_pictures_are_read_and_a_damaged_one_and_a_bomb_end_eval_with_one_line(tmp_path):
    config = malformed.prepare_images(tmp_path, Case("", "test/dark/x.png", "", holding(picture("PNG"))))
    for name, data in sound_pictures().items():
        (tmp_path / "train" / "dark" / name).write_bytes(data)
    (tmp_path / "train" / "bright" / "ink.jpg").write_bytes(picture("JPEG", "CMYK"))
    shutil.copytree(tmp_path / "test" / "dark", tmp_path / "test" / "bright")
    ended = commands.run("train", config, "--run", "run", folder=tmp_path)
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / "info.json").read_text())["num_examples"]["test"] == 2

    (tmp_path / "test" / "dark" / "x.png").write_bytes(png(8, 8, b"x\x9cnonsense"))
    ended = commands.run("eval", "run", folder=tmp_path)
    assert_refused(ended, Case("", "test/dark/x.png", ": cannot be decoded (", malformed.nothing))
    (bomb,) = (case for case in BOMBS if case.name == "image: a PNG bomb")
    bomb.build(tmp_path / BAD)
    assert_refused(commands.run("eval", "run", folder=tmp_path), bomb)


@pytest.mark.parametrize("channels", [1, 3])
def test_c1_every_odd_picture_is_decoded_to_the_channels_that_are_asked_for(channels):
    for name, data in sound_pictures().items():
        for to in (PixelFormat(channels), PixelFormat(channels, (255, 255, 255), 65535)):
            decoded = decode(data, to)
            assert tuple(decoded.shape) == (*parse_header(data, name).sides, channels), name
            assert decoded.dtype == to.dtype
            assert decoded.numpy().max() > 0, name


def test_c1_byte_order_marks_line_ends_and_quoted_line_breaks_are_read_as_documented(tmp_path):
    content = '\ufefftext,label\r\n"one,\r\n""two""\u2028",a\n\r\n three \x85,b\n'
    plain, packed = tmp_path / "plain.csv", tmp_path / "packed.csv.gz"
    plain.write_bytes(content.encode())
    packed.write_bytes(gzip.compress(content.encode()) + gzip.compress(b"four,a\r\n"))
    features = tasks.load("text_classification").features
    for path, more in ((plain, []), (packed, ["four"])):
        splits = csv.load(csv.Config(name="csv", train=str(path)), features, 0)
        assert splits.train.column("text").tolist() == ['one,\r\n"two"\u2028', " three \x85", *more]
        assert splits.features["label"].names == ("a", "b")
    pair = [str(tmp_path / "a"), str(tmp_path / "b")]
    for path, text in zip(pair, ("\ufeffone\u2028\r\ntwo\x0c", "eins\n\u3000zwei\n"), strict=True):
        with open(path, "wb") as file:
            file.write(text.encode())
    config = parallel_text.Config(name="parallel_text", train=pair)
    splits = parallel_text.load(config, tasks.load("translation").features, 0)
    assert splits.train.column("source").tolist() == ["one\u2028", "two\x0c"]
    assert splits.train.column("target").tolist() == ["eins", "\u3000zwei"]


@pytest.fixture(scope="module")
def idle_bytes(tmp_path_factory):
    """Peak of a command that reads nothing."""
    ended = commands.run("train", "missing.yaml", folder=tmp_path_factory.mktemp("idle"))
    assert ended.code == EXIT_USER
    return ended.peak_bytes


GZIP_BOMBS = [
    Case(
        "gzip: a bomb",
        "train.csv.gz",
        ": decompresses to more than 100 times",
        holding(lambda: gzip_bomb(False)),
    ),
    Case(
        "gzip: a bomb that lies",
        "train.csv.gz",
        ": decompresses to more than 100 times",
        holding(lambda: gzip_bomb(True)),
    ),
    Case(
        "gzip: zeros",
        "train.csv.gz",
        ":1: the line is longer",
        holding(lambda: gzip.compress(bytes(64 << 20))),
    ),
]


@pytest.mark.parametrize(
    ("prepare", "case"),
    [
        *((malformed.prepare_images, case) for case in BOMBS),
        *((malformed.prepare_table, case) for case in GZIP_BOMBS),
    ],
    ids=[case.name for case in (*BOMBS, *GZIP_BOMBS)],
)
def test_c2_a_bomb_is_refused_before_it_unpacks(tmp_path, idle_bytes, prepare, case):
    config = prepare(tmp_path, case)
    assert (tmp_path / case.file).stat().st_size < 1 << 20
    ended = commands.run("train", config, "--run", "run", folder=tmp_path, limit_seconds=SECONDS)
    assert_refused(ended, case)
    assert ended.seconds <= BOMB_SECONDS
    assert ended.peak_bytes <= idle_bytes + BOMB_BYTES
    assert not (tmp_path / "run" / "config.yaml").exists()
