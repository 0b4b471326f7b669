"""What the arguments of predict and score name, and that it is read as the data of the run is written."""

import os

import pytest

from attnzoo.cli.inputs import ReadOptions, read_inputs, read_pairs, trained_task
from attnzoo.errors import DataWarning, UserError

TEXTS = "model: {name: text_classifier}\ndata: {name: csv, train: x.csv, text: body, label: kind%s}\n"
IMAGES = "model: {name: image_classifier}\ndata: {name: image_table, train: x.csv}\n"
PAIRS = "model: {name: translation}\ndata: {name: parallel_text, train: [a, b], encoding: cp1252}\n"
NO_COLUMNS = {"--column": None, "--id": None, "--prefix-column": None, "--target": None}


def given(folder, config, *arguments, read=read_inputs, **columns):
    """Returns the inputs of a run with this config."""
    (folder / "config.yaml").write_text(config)
    options = {**NO_COLUMNS, **{f"--{name}": column for name, column in columns.items()}}
    return read(*trained_task(folder), arguments, ReadOptions(None, options))


def texts(inputs):
    return [record.text for record in inputs.records]


@pytest.mark.parametrize(
    ("options", "content", "expected"),
    [
        (", delimiter: ';'", "body;kind\na,b;x\n", "a,b"),
        (", delimiter: ';'", "body,kind\na;b,x\n", "a;b"),
        (", delimiter: '#'", "body#kind\na,b#x\n", "a,b"),
        (", quoting: none", 'body\n"a\n', '"a'),
        (", columns: [kind, body]", "x,a\n", "a"),
        (", columns: [kind, body]", "id,body\nx,a\n", "a"),
        (", encoding: cp1252", "body\ncaf\xe9\n", "caf\xe9"),
    ],
)
def test_tables_are_read_as_those_of_the_run_or_as_their_header_says(
    empty_folder, options, content, expected
):
    encoding = "cp1252" if "encoding" in options else "utf-8"
    (empty_folder / "new.csv").write_text(content, encoding)
    if content.startswith("body,kind"):
        with pytest.warns(DataWarning, match="the header suggests the delimiter ',', which is used.$"):
            assert texts(given(empty_folder, TEXTS % options, "new.csv")) == [expected]
    else:
        assert texts(given(empty_folder, TEXTS % options, "new.csv")) == [expected]


@pytest.mark.parametrize(
    ("options", "name", "content"),
    [
        ("", "new.csv", b"text\none\n"),
        ("", "new.csv", b"text,body\none\n"),
        ("", "new.csv", b"a#b\n1#2\n"),
        (", columns: [kind, body]", "new.csv", b"one\n"),
        (", encoding: gb18030", "new.txt", b"\xff\xff\n"),
        ("", "new.txt", b"\xff\xfea\0"),
    ],
)
def test_errors_name_no_option_that_only_a_config_has(empty_folder, options, name, content):
    (empty_folder / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        given(empty_folder, TEXTS % options, name).check_files()
    assert "set data." not in str(caught.value)
    assert "in data." not in str(caught.value)


def test_plain_texts_are_in_the_encoding_of_the_run(empty_folder):
    (empty_folder / "a").write_text("caf\xe9\n", "cp1252")
    (empty_folder / "b").write_text("\xfcber\n", "cp1252")
    assert texts(given(empty_folder, PAIRS, "a")) == ["caf\xe9"]
    (pair,) = given(empty_folder, PAIRS, "a", "b", read=read_pairs).records
    assert (pair.text, pair.target) == ("caf\xe9", "\xfcber")


def test_each_file_is_looked_at_before_anything_is_answered(empty_folder):
    (empty_folder / "good.csv").write_text("body\na\nb\n")
    (empty_folder / "other.csv").write_text("text\na\n")
    with pytest.raises(UserError, match=r"other\.csv:1: no column 'body'"):
        given(empty_folder, TEXTS % "", "good.csv", "other.csv").check_files()
    inputs = given(empty_folder, TEXTS % "", "good.csv")
    inputs.check_files()
    assert texts(inputs) == ["a", "b"]


def test_options_of_lists_are_refused_only_where_nothing_lists_inputs(empty_folder):
    for name in ("a.png", "b.png"):
        (empty_folder / name).write_bytes(b"")
    (empty_folder / "list.csv").write_text("key,image\n7,b.png\n")
    image, listed = given(empty_folder, IMAGES, "a.png", "list.csv", id="key").records
    assert [(image.text, image.id), (listed.text, listed.id)] == [("a.png", None), ("b.png", "7")]
    with pytest.raises(UserError, match=r"a\.png: image files, not a list of them; remove --id key"):
        given(empty_folder, IMAGES, "a.png", id="key")


@pytest.mark.parametrize("arguments", [("-",), ("-", "b"), ("a", "-")])
def test_pairs_come_from_standard_input_alone_or_with_a_file(empty_folder, monkeypatch, arguments):
    (empty_folder / "a").write_text("one\ntwo\n")
    (empty_folder / "b").write_text("eins\nzwei\n")
    pipe = {("-",): "one\teins\ntwo\tzwei\n", ("-", "b"): "one\ntwo\n", ("a", "-"): "eins\nzwei\n"}
    (empty_folder / "pipe").write_text(pipe[arguments])
    with open("pipe") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        inputs = given(empty_folder, PAIRS, *arguments, read=read_pairs)
        assert inputs.is_live
        assert [(pair.text, pair.target) for pair in inputs.records] == [("one", "eins"), ("two", "zwei")]


def test_a_file_name_that_is_not_utf_8_is_an_input_like_others(empty_folder):
    name = os.fsdecode(b"caf\xe9.png")
    (empty_folder / name).write_bytes(b"")
    assert texts(given(empty_folder, IMAGES, name)) == [name]
