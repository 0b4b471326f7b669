import gzip
import re

import pytest

from attnzoo import tasks
from attnzoo.data.datasets import parallel_text
from attnzoo.errors import DataWarning, UserError


def write(folder, name, content):
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def load(folder, source, target, **options):
    train = [write(folder, "a.en", source), write(folder, "a.de.gz", target)]
    config = parallel_text.Config(name="parallel_text", train=train, **options)
    return parallel_text.load(config, tasks.load("translation").features, 3)


def test_lines_are_paired_in_order_and_only_newlines_end_them(tmp_path):
    splits = load(tmp_path, "one\u2028line\r\ntwo\x85\n", "eins\nzwei")
    assert splits.train.column("source").tolist() == ["one\u2028line", "two\x85"]
    assert splits.train.column("target").tolist() == ["eins", "zwei"]
    assert splits.features == {}
    assert splits.validation is None
    assert splits.test is None


def test_the_other_splits_have_files_of_their_own(tmp_path):
    pair = [write(tmp_path, "b.en", "x\n"), write(tmp_path, "b.de", "y\n")]
    splits = load(tmp_path, "one\n", "eins\n", validation=pair, test=pair)
    assert splits.test.column("target").tolist() == ["y"]
    assert splits.validation.origin == ", ".join(pair)


@pytest.mark.parametrize(
    ("source", "target", "counts"),
    [
        ("a\nb\nc\n", "x\n", (3, 1)),
        ("a\n", "x\ny\nz\nv\nw\n", (1, 5)),
        ("", "x\n", (0, 1)),
        ("a\nb\n", "", (2, 0)),
    ],
)
def test_different_line_counts_are_both_named(tmp_path, source, target, counts):
    message = f"a.en has {counts[0]} lines and {tmp_path}/a.de.gz has {counts[1]}; line n of one must"
    with pytest.raises(UserError, match=re.escape(message)):
        load(tmp_path, source, target)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a\n \nc\n", "x\ny\nz\n", "a.en:2: the line is empty but line 2 of"),
        ("a\nb\nc\n", "x\n\nz\n", "a.de.gz:2: the line is empty but line 2 of"),
        ("a\n\nc\n", "x\n\nz\n", "a.en:2: the line is empty here and in"),
        ("", "", "a.en: empty; at least one line is needed"),
        (b"a\n\xfe\n", "x\ny\n", "a.en:2: not UTF-8: byte 0xfe at byte 2 of the file"),
        ("a\n", b"x\0\n", "a.de.gz:1: NUL byte at byte 1"),
        ("a\n" + "x" * (1 << 20) + "y\n", "x\ny\n", "a.en:2: longer than 1,048,576 characters"),
    ],
    ids=range(7),
)
def test_what_is_wrong_in_a_line_is_reported_with_file_and_line(tmp_path, source, target, message):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/{message}")):
        load(tmp_path, source, target)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0-0\n", "align: 1 lines, fewer than pairs; write one per pair"),
        ("0-0\n\n\n", "align: more lines than the 2 pairs; write one per pair"),
        ("0-0 0:0\n\n", "align:1: '0:0' is not a pair of word numbers such as 1-2; align again"),
        ("0-0 -1-0\n\n", "align:1: '-1-0' is not a pair"),
        ("0-0\n0-1 2-1\n", "align:2: 2-1: the source has 2 words, numbered from 0; align again"),
        ("0-0\n0-1 1-3\n", "align:2: 1-3: the target has 3 words, numbered from 0; align again"),
    ],
    ids=range(6),
)
def test_an_alignment_that_does_not_fit_is_named(tmp_path, lines, message):
    path = write(tmp_path, "align", lines)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/{message}")):
        load(tmp_path, "one\ntwo  words\n", "eins\nzwei\tgute Worte\n", train_alignments=path)


def test_alignments_stay_with_their_pairs_where_some_are_skipped(tmp_path):
    path = write(tmp_path, "align", "0-0\n1-0\n5-5\n\n0-0 0-1\n")
    options = {"train_alignments": path, "on_bad_record": "skip", "max_bad_fraction": 0.5}
    with pytest.warns(DataWarning, match=r"1 with an invalid alignment \(first: .*align:3\)"):
        splits = load(
            tmp_path, "one\n \nthree\nfour\nfive\n", "eins\nzwei\ndrei\nvier\nfünf Stück\n", **options
        )
    assert splits.train.column("source").tolist() == ["one", "four", "five"]
    assert splits.train.column("alignment").tolist() == ["0-0", "", "0-0 0-1"]


def several(folder, *contents):
    return [write(folder, f"several.{number}", content) for number, content in enumerate(contents)]


def test_validation_and_test_may_have_further_references(tmp_path):
    test = several(tmp_path, "a\nb\n", "x\ny\n", "v\nw\n", "s\nt\n")
    splits = load(tmp_path, "one\n", "eins\n", test=test, validation=test[:3])
    assert splits.test.column("target").tolist() == ["x", "y"]
    assert splits.test.column("references").tolist() == [("v", "s"), ("w", "t")]
    assert splits.validation.column("references").tolist() == [("v",), ("w",)]
    assert splits.train.names == ("source", "target")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (("a\nb\n", "x\ny\n", "v\n"), "several.0 has 2 lines and {}/several.2 has 1; line n of one"),
        (("a\n", "x\n", "v\nw\nu\n"), "several.0 has 1 lines and {}/several.2 has 3; line n of one"),
        (("a\nb\n", "x\n", "v\n"), "several.0 has 2 lines and {}/several.1 has 1; line n of one"),
        (("a\nb\n", "x\ny\n", "v\n\n"), "several.2:2: the line is empty but line 2 of {}/several.0 is not;"),
        (
            ("a\n\n", "x\n\n", "v\n\n"),
            "several.0:2: the line is empty here and in {0}/several.1, {0}/several.2;",
        ),
        (
            ("", "", ""),
            "several.0: empty; at least one line is needed, and the same number of lines in "
            "{0}/several.1, {0}/several.2.",
        ),
    ],
    ids=range(6),
)
def test_every_reference_has_a_line_for_each_source(tmp_path, contents, message):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/{message.format(tmp_path)}")):
        load(tmp_path, "one\n", "eins\n", test=several(tmp_path, *contents))


def test_several_references_to_learn_from_are_refused():
    with pytest.raises(ValueError, match="3 files, expected two: only validation and test can have"):
        parallel_text.Config(name="parallel_text", train=["a", "b", "c"])


def sides(folder):
    names = {"a.en": "one\ntwo\n", "a.de": "eins\nzwei\n", "b.en": "three\n", "b.de": "drei\n"}
    for name, content in names.items():
        write(folder, name, content)


def texts_of(folder, train, **options):
    config = parallel_text.Config(name="parallel_text", train=train, **options)
    train = parallel_text.load(config, tasks.load("translation").features, 3).train
    return list(zip(train.column("source"), train.column("target"), strict=True))


@pytest.mark.parametrize(
    ("train", "order"), [([["b.en", "a.en"], ["b.de", "a.de"]], (2, 0, 1)), (["*.en", "?.de"], (0, 1, 2))]
)
def test_several_files_are_lists_or_patterns_of_each_side(tmp_path, monkeypatch, train, order):
    monkeypatch.chdir(tmp_path)
    sides(tmp_path)
    pairs = [("one", "eins"), ("two", "zwei"), ("three", "drei")]
    assert texts_of(".", train) == [pairs[number] for number in order]
    write(tmp_path, "links", "".join("0-0\n" for _ in pairs))
    assert len(texts_of(".", train, train_alignments="links")) == 3


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            [["a.en", "b.en"], ["a.de"]],
            "a.en: one of 2 files or patterns, but the other side has 1; list the",
        ),
        ([["a.en", "b.en"], ["a.de", "c.de"]], "c.de: not found; check the path"),
        ([["a.en", "b.en"], ["b.de", "a.de"]], "a.en has 2 lines and b.de has 1; line n of one must be"),
        (["?.en", "[a].de"], "b.en: no file of [a].de goes with it"),
    ],
)
def test_files_that_do_not_go_together_are_named(tmp_path, monkeypatch, train, message):
    monkeypatch.chdir(tmp_path)
    sides(tmp_path)
    with pytest.raises(UserError, match=re.escape(message)):
        texts_of(".", train)


def test_a_list_of_pairs_in_place_of_two_sides_is_not_taken_in_silence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides(tmp_path)
    message = re.escape("list the files of each side: [[a.en, b.en], [a.de, b.de]].")
    with (
        pytest.warns(DataWarning, match=message),
        pytest.raises(UserError, match=r"a\.en has 2 lines and b\.en"),
    ):
        texts_of(".", [["a.en", "a.de"], ["b.en", "b.de"]])
    with pytest.raises(ValueError, match=r"list those of each side: \[\[a\.en, b\.en\], \[a\.de, b\.de\]\]"):
        parallel_text.Config(name="parallel_text", train=[["a", "b"], ["c", "d"], ["e", "f"]])
