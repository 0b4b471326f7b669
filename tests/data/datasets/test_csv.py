import gzip
import json
import re

import pytest

from attnzoo import tasks
from attnzoo.data.datasets import csv
from attnzoo.errors import UserError

GOOD = "text,label\nfine,pos\nbad,neg\n"


def load(folder, train, name="train.csv", task="text_classification", **options):
    path = folder / name
    content = train.encode() if isinstance(train, str) else train
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    config = csv.Config(name="csv", train=str(path), **options)
    return csv.load(config, tasks.load(task).features, seed=3)


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_quoted_texts_keep_delimiters_quotes_and_line_breaks(tmp_path, name):
    content = '\ufefflabel,text\r\npos,"one, ""two""\nthree"\r\n\r\nneg,four\r\n'
    splits = load(tmp_path, content, name)
    assert splits.train.column("text").tolist() == ['one, "two"\nthree', "four"]
    assert splits.train.column("label").tolist() == [1, 0]
    assert splits.train.column("label").dtype == "int32"
    assert splits.features["label"].names == ("neg", "pos")
    assert splits.validation is None
    assert splits.test is None


def test_tabs_separate_columns_of_tsv_and_other_columns_are_ignored(tmp_path):
    splits = load(tmp_path, "id\ttext\tlabel\n1\ta, b\t x \n2\tc\ty\n", "train.tsv")
    assert splits.train.column("text").tolist() == ["a, b", "c"]
    assert splits.features["label"].names == ("x", "y")


def test_json_lines_take_strings_and_whole_numbers_as_labels(tmp_path):
    lines = [{"text": "a\u2028b", "label": 7}, {"text": "c", "label": "x", "more": [1]}]
    content = "\n\n".join(json.dumps(line) for line in lines)
    splits = load(tmp_path, content, "train.jsonl.gz")
    assert splits.train.column("text").tolist() == ["a\u2028b", "c"]
    assert splits.features["label"].names == ("7", "x")


def test_columns_can_be_named_and_other_splits_share_the_labels_of_train(tmp_path):
    (tmp_path / "test.csv").write_text("sentence,kind\nhm,b\nho,b\n")
    (tmp_path / "dev.jsonl").write_text('{"sentence": "he", "kind": "c"}\n')
    splits = load(
        tmp_path,
        "sentence,kind\nx,b\ny,a\nz,c\n",
        text="sentence",
        label="kind",
        test=str(tmp_path / "test.csv"),
        validation=str(tmp_path / "dev.jsonl"),
    )
    assert splits.features["label"].names == ("a", "b", "c")
    assert splits.test.column("label").tolist() == [1, 1]
    assert splits.validation.column("label").tolist() == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": empty; the first line must name the columns 'text' and 'label'"),
        ("text,label\n", ": only a header"),
        ("text,lable\na,b\n", ":1: no column 'label' (did you mean 'lable'?); the header has: text, lable."),
        ("text,label,text\na,b,c\n", ":1: column 'text' occurs 2 times"),
        ("text,label\na,b\n\na,b,c\n", ":4: 3 columns; the header has 2 ('text,label')"),
        (
            'text,label\n"a\nb",x\nc,y\n"open,z\nd,z\n',
            ':5: the quote (") that starts in this record is never closed',
        ),
        ('text,label\n"a"b,x\n', ":2: ',' expected after '\"'"),
        ("text,label\na\rb,x\n", ":2: a lone carriage return outside quotes"),
        ("text,label\n" + "x" * (1 << 20) + "yz,b\n", ":2: a field is longer than 1,048,576 characters"),
        ("text,label\n  ,b\n", ":2: the text is empty"),
        ("text,label\na, \n", ":2: the label is empty"),
        ("text,label\na,b\nc,b\n", ": every example has the label 'b'; a classifier needs at least 2"),
        (b"text,label\na,b\n\xff,b\n", ":3: not UTF-8: byte 0xff at byte 15"),
        (b"text,label\na\0,b\n", ":2: NUL byte at byte 12"),
    ],
)
def test_what_is_wrong_in_a_table_is_reported_with_file_and_line(tmp_path, content, message):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'train.csv'}{message}")) as caught:
        load(tmp_path, content)
    assert "\n" not in str(caught.value)


DEEP = '{"text": ' + "[" * 100_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'text': 1}", ":2: not a single JSON object: Expecting property name"),
        ('{"text": "a", "label": "b"} {}', ":2: not a single JSON object: Extra data at column 29"),
        ('{"text": "a", "label": NaN}', ":2: NaN is not JSON"),
        ('{"text": "a", "label": -Infinity}', ":2: -Infinity is not JSON"),
        ('{"text": "a", "text": "b", "label": "c"}', ":2: key 'text' occurs twice"),
        ('["a", "b"]', ':2: expected a JSON object such as {...}; got ["a", "b"]'),
        ('{"txt": "a", "label": "b"}', ":2: no key 'text' (did you mean 'txt'?); the keys are: txt, label."),
        ('{"text": 5, "label": "b"}', ":2: 'text' must be a string; got 5"),
        ('{"text": "a", "label": 0.5}', ":2: 'label' must be a string or a whole number; got 0.5"),
        ('{"text": "a", "label": null}', ":2: 'label' must be a string or a whole number; got null"),
        ('{"text": "\\ud800", "label": "b"}', ":2: lone surrogate (half a character) in the text"),
        ('{"text": "a\\u0000", "label": "b"}', ":2: NUL character in the text"),
        ('{"text": "' + "x" * (1 << 20) + 'y", "label": "b"}', ":2: the text is longer than 1,048,576"),
        ('{"text": "a", "label": ' + "9" * 5000 + "}", ":2: not readable JSON (ValueError)"),
        (DEEP, ":2: not "),
    ],
    ids=range(15),
)
def test_what_is_wrong_in_json_lines_is_reported_with_file_and_line(tmp_path, line, message):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'train.jsonl'}{message}")) as caught:
        load(tmp_path, '{"text": "first", "label": "b"}\n' + line + "\n", "train.jsonl")
    assert "\n" not in str(caught.value)


def test_an_empty_json_lines_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"train\.jsonl: empty; expected one JSON object per line"):
        load(tmp_path, "\n\n", "train.jsonl")


def test_a_label_that_train_does_not_have_is_named_with_the_known_ones(tmp_path):
    (tmp_path / "test.csv").write_text('text,label\n"a\nb",pos\nc,poss\n')
    with pytest.raises(
        UserError, match=r"test\.csv:4: label 'poss' does not occur in train \(did you mean 'pos'"
    ) as e:
        load(tmp_path, GOOD, test=str(tmp_path / "test.csv"))
    assert "the labels of train are: neg, pos. data.on_bad_record: skip" in str(e.value)


def test_only_the_first_20_known_labels_are_listed(tmp_path):
    rows = "".join(f"a,label{number:02d}\n" for number in range(23))
    (tmp_path / "test.csv").write_text("text,label\nc,other\n")
    with pytest.raises(UserError, match=r"label18, label19, \.\.\.\. data\.on_bad_record"):
        load(tmp_path, "text,label\n" + rows, test=str(tmp_path / "test.csv"))


def test_an_unknown_suffix_and_twice_the_same_column_are_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"train\.xlsx: unknown suffix '\.xlsx'; expected \.csv, \.tsv or \.jsonl"
    ):
        load(tmp_path, GOOD, "train.xlsx")
    with pytest.raises(UserError, match=r"data\.text and data\.label are both 'label'"):
        load(tmp_path, GOOD, text="label")


def test_the_field_limit_of_the_process_is_left_as_it_was(tmp_path):
    import csv as standard

    before = standard.field_size_limit()
    text = "x" * (before + 7)
    assert load(tmp_path, f"text,label\n{text},a\nb,c\n").train.column("text")[0] == text
    assert standard.field_size_limit() == before
