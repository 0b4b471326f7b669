"""C3 and C8: what the options for bad records and shared examples do."""

import re

import pytest

from attnzoo import tasks
from attnzoo.data import examples
from attnzoo.data.datasets import csv, image_folder, parallel_text
from attnzoo.errors import EXIT_USER, DataWarning, UserError
from tests import commands
from tests.robustness import malformed
from tests.robustness.malformed import GREETINGS, Case, holding
from tests.robustness.malformed_images import cut, picture, png

FEATURES = tasks.load("text_classification").features
GOOD_JSON = [f'{{"text": "{text}", "label": "{label}"}}' for text, label in GREETINGS * 30]


def load_table(folder, name, lines, **options):
    path = folder / name
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return csv.load(csv.Config(name="csv", train=str(path), **options), FEATURES, 0)


def columns(splits):
    return {name: splits.train.column(name).tolist() for name in splits.train.names}


def test_c3_a_table_is_read_as_if_its_bad_records_were_not_there(tmp_path):
    good = ["text,label", *(f"{text},{label}" for text, label in GREETINGS * 30)]
    bad = [b"one", b"one,en,more", b"\xff,en", b"o\0ne,en", b",en", b"one,", b'"one"two,en']
    mixed = [*good[:7], *bad[:4], *good[7:], *bad[4:]]
    expected = load_table(tmp_path, "good.csv", good)
    with pytest.warns(DataWarning) as told:
        read = load_table(tmp_path, "mixed.csv", mixed, on_bad_record="skip", max_bad_fraction=0.1)
    assert columns(read) == columns(expected)
    assert read.features["label"].names == expected.features["label"].names == ("de", "en")
    assert str(told[0].message) == (
        f"{tmp_path}/mixed.csv: 7 of 127 records (5.51%) cannot be read and are skipped: "
        f"2 with a different number of columns than the header (first: {tmp_path}/mixed.csv:8); "
        f"1 not UTF-8 (first: {tmp_path}/mixed.csv:10); "
        f"1 with a NUL character (first: {tmp_path}/mixed.csv:11); "
        f"1 with an empty text (first: {tmp_path}/mixed.csv:126); "
        f"1 with an empty label (first: {tmp_path}/mixed.csv:127); "
        f"1 with misplaced quotes or line endings (first: {tmp_path}/mixed.csv:128)."
    )
    with pytest.raises(
        UserError, match=r"7 of 127 records \(5.51%\) cannot be read, .* allows 5.00%: 2 with"
    ):
        load_table(tmp_path, "mixed.csv", mixed, on_bad_record="skip", max_bad_fraction=0.05)
    with pytest.raises(UserError, match=r"mixed\.csv:8: 1 columns; the header has 2 .* Quote texts .*: skip"):
        load_table(tmp_path, "mixed.csv", mixed)


@pytest.mark.parametrize(
    ("lines", "options", "cure"),
    [
        (
            ["one;en"],
            {"columns": ["text", "label"]},
            "Fields were split at ','; set data.delimiter for another",
        ),
        (
            ["text,label", 'one, "en, de", x'],
            {},
            'A space before a quote (") makes it part of the text; remove',
        ),
        (["text,label", "one,"], {}, "data.on_bad_record: skip leaves out such records."),
        (["text,label", b"\xff,en"], {}, "or leave out such lines with data.on_bad_record: skip."),
    ],
)
def test_c1_the_option_that_cures_a_bad_record_is_named(tmp_path, lines, options, cure):
    with pytest.raises(UserError, match=re.escape(cure)):
        load_table(tmp_path, "bad.csv", lines, **options)


def test_c3_json_lines_are_read_as_if_the_bad_ones_were_not_there(tmp_path):
    bad = ["{", '{"text": "a", "label": NaN}', '{"text": 3, "label": "en"}', '{"label": "en"}', "[" * 9999]
    expected = load_table(tmp_path, "good.jsonl", GOOD_JSON)
    options = {"on_bad_record": "skip", "max_bad_fraction": 0.05}
    with pytest.warns(DataWarning, match="5 of 125 records"):
        read = load_table(tmp_path, "mixed.jsonl", [bad[0], *GOOD_JSON, *bad[1:]], **options)
    assert columns(read) == columns(expected)
    assert examples.fingerprint(read, FEATURES) == examples.fingerprint(expected, FEATURES)


def test_c3_pairs_are_read_as_if_the_bad_ones_were_not_there(tmp_path):
    def load(name, pairs, **options):
        paths = [tmp_path / f"{name}.{side}" for side in "ab"]
        for side, path in enumerate(paths):
            path.write_bytes(b"".join(pair[side] + b"\n" for pair in pairs))
        config = parallel_text.Config(name="parallel_text", train=[str(path) for path in paths], **options)
        return parallel_text.load(config, tasks.load("translation").features, 0)

    good = [(b"one", b"eins"), (b"two", b"zwei")] * 20
    bad = [(b"", b"x"), (b"x", b" "), (b"\xfe", b"x"), (b"", b""), (b"x", b"\0")]
    with pytest.warns(DataWarning, match="5 of 45 records"):
        read = load("mixed", [*bad, *good], on_bad_record="skip", max_bad_fraction=0.2)
    assert columns(read) == columns(load("good", good))


def test_c3_pictures_are_read_as_if_the_bad_ones_were_not_there(tmp_path):
    for label, level in (("bright", 200), ("dark", 20)):
        (tmp_path / label).mkdir()
        for number in range(10):
            (tmp_path / label / f"{number}.png").write_bytes(picture("PNG", level=level))

    def load(**options):
        config = image_folder.Config(name="image_folder", train=str(tmp_path), **options)
        return image_folder.load(config, tasks.load("image_classification").features, 0)

    expected = columns(load())
    holding(b"no picture")(tmp_path / "dark" / "a.png")
    cut("JPEG", 50)(tmp_path / "dark" / "b.jpg")
    holding(png(8, 8, b"x\x9cnonsense"))(tmp_path / "bright" / "c.png")
    with pytest.warns(DataWarning, match=r"3 of 23 records .* 1 not an image .* 1 truncated"):
        assert columns(load(on_bad_record="skip", max_bad_fraction=0.2)) == expected
    with pytest.raises(UserError, match=r"3 of 23 records \(13.04%\) cannot be read, .* allows 10.00%"):
        load(on_bad_record="skip", max_bad_fraction=0.1)


def test_c8_examples_that_test_shares_with_train_are_reported_and_refused_with_strict(tmp_path):
    config = malformed.prepare_table(tmp_path, Case("", "train.csv", "", holding(malformed.TABLE)))
    ended = commands.run("train", config, "--run", "strict", "--strict", folder=tmp_path)
    assert ended.code == EXIT_USER
    assert ended.err == (
        "attnzoo: error: test.csv: 11 of 12 test examples are in train too (first: number 0), "
        "so the metrics may be better than on new data.\n"
    )
    ended = commands.run("train", config, "--run", "run", folder=tmp_path)
    assert ended.code == 0
    assert ended.err.startswith("attnzoo: warning: test.csv: 11 of 12 test examples are in train too")
