"""Several files, nested keys, a column for each label, pairs of texts and weights in tables."""

import json
import re

import pytest

from attnzoo import tasks
from attnzoo.data.datasets import csv
from attnzoo.errors import UserError
from attnzoo.records.text_records import Columns, read_texts


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Writes files and loads them for a task from the folder they are in."""
    monkeypatch.chdir(tmp_path)

    def run(files, task="text_classification", **options):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        config = csv.Config(name="csv", **({"train": next(iter(files))} | options))
        return csv.load(config, tasks.load(task).features, seed=3)

    return run


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


PARTS = {
    "part2.csv": "text,label\nc,x\n",
    "part1.csv": "label;more;text\ny;1;a\nx;2;b\n",
    "rest.jsonl": lines({"text": "d", "label": "y"}),
}


@pytest.mark.filterwarnings("ignore:.*the header suggests")
@pytest.mark.parametrize(
    ("train", "texts"),
    [
        (["part2.csv", "rest.jsonl", "part1.csv"], ["c", "d", "a", "b"]),
        ("part*.csv", ["a", "b", "c"]),
        (["rest.jsonl", "part*.csv", "part2.csv"], ["d", "a", "b", "c"]),
    ],
)
def test_files_are_read_in_order_each_with_its_own_header(load, train, texts):
    splits = load(PARTS, train=train, test=["part1.csv", "rest.jsonl"])
    assert splits.train.column("text").tolist() == texts
    assert splits.features["label"].names == ("x", "y")
    assert splits.test.column("label").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (["a.csv", "b.csv"], "b.csv:1: no column 'label'; the header has: text, kind."),
        (["a.csv", "c.csv"], "c.csv:2: the text is empty"),
        (["a.csv", "none.csv"], "none.csv: not found; check the path"),
        ("d*.csv", "d*.csv: not found; check the path"),
        (["a.csv", "a.csv"], "data.train.1: a.csv: named twice; name each file once."),
        (["a.csv", "b*"], "data.train.1: b*: unknown suffix ''; expected .csv, .tsv or .jsonl"),
    ],
)
def test_the_file_of_several_that_cannot_be_used_is_named(load, train, message):
    files = {"a.csv": "text,label\na,x\nb,y\n", "b.csv": "text,kind\na,x\n", "c.csv": "text,label\n ,x\n"}
    with pytest.raises(UserError, match=re.escape(message)):
        load(files, train=train)


def test_bad_records_are_counted_over_all_files_of_a_split(load):
    files = {"a.csv": "text,label\na,x\nb,y\n", "b.csv": "text,label\n ,x\nc,x\n"}
    options = {"on_bad_record": "skip", "max_bad_fraction": 0.25}
    with pytest.warns(UserWarning, match=r"a\.csv, b\.csv: 1 of 4 records .* \(first: b\.csv:2\)"):
        assert len(load(files, train=["a.csv", "b.csv"], **options).train) == 3


def test_keys_of_nested_objects_are_named_by_their_path(load):
    records = [
        {"review": {"body": "a"}, "meta": {"good": True}},
        {"review.body": "b", "review": {"body": "c"}, "meta": {"good": False}},
    ]
    splits = load({"a.jsonl": lines(*records)}, text="review.body", label="meta.good")
    assert splits.train.column("text").tolist() == ["a", "b"]
    assert splits.features["label"].names == ("false", "true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("review.boddy", "'review' has no key 'boddy' (did you mean 'body'?); the keys are: body, n."),
        (
            "reviews.body",
            "no key 'reviews.body' (did you mean 'review.body'?); the keys are: review, review.body",
        ),
        ("label.body", "no key 'label.body': 'label' is not an object; got \"x\"."),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_keys(load, text, message):
    content = lines({"review": {"body": "a", "n": 1}, "label": "x"})
    with pytest.raises(UserError, match=re.escape(f"a.jsonl:1: {message}")):
        load({"a.jsonl": content}, text=text)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_each_label_may_have_a_column_of_0_and_1(load, name):
    table = "insult,text,toxic\n0,a,1\n1,b,1\n0,c,0\n"
    records = [
        {"insult": i, "text": text, "toxic": t} for text, t, i in (("a", 1, 0), ("b", 1, 1), ("c", 0, 0))
    ]
    content = table if name == "a.csv" else lines(*records)
    splits = load({name: content}, "multi_label_classification", label=["toxic", "insult"], test=name)
    assert splits.features["label"].names == ("toxic", "insult")
    assert splits.train.column("label").tolist() == [[1, 0], [1, 1], [0, 0]]
    assert splits.test.column("label").tolist() == splits.train.column("label").tolist()


def test_columns_of_labels_are_for_several_labels_and_named_once(load):
    files = {"a.csv": "text,a,b\nx,0,1\n"}
    with pytest.raises(
        UserError, match=r"data\.label: a list of columns is for multi_label models; expected one"
    ):
        load(files, label=["a", "b"])
    with pytest.raises(UserError, match=r"data\.label: names the column 'a' twice; name each once"):
        load(files, "multi_label_classification", label=["a", "b", "a"])
    with pytest.raises(UserError, match=r"data\.text and data\.label are both 'b'; name two different"):
        load(files, "multi_label_classification", label=["a", "b"], text="b")
    with pytest.raises(UserError, match=r"a\.csv:1: no column 'c'"):
        load(files, "multi_label_classification", label=["a", "c"])
    with pytest.raises(UserError, match=r"data\.label: no column 'c'; data\.columns has: text, a, b"):
        load(files, "multi_label_classification", label=["a", "c"], columns=["text", "a", "b"])


def test_pairs_of_texts_are_two_columns(load):
    options = {"columns": ["source", "target", "note"], "quoting": "none"}
    splits = load({"a.tsv": 'one "two"\tzwei\tx\nthree\tdrei\ty\n'}, "translation", **options)
    assert splits.train.column("source").tolist() == ['one "two"', "three"]
    assert splits.train.column("target").tolist() == ["zwei", "drei"]
    content = lines({"translation": {"en": "one", "de": "eins"}})
    nested = load({"a.jsonl": content}, "translation", source="translation.en", target="translation.de")
    assert nested.train.column("target").tolist() == ["eins"]
    with pytest.raises(UserError, match=r"b\.tsv:2: the text is empty; fill it in or remove the record"):
        load({"b.tsv": "source\ttarget\n \teins\n"}, "translation")


def test_weights_are_those_of_training_examples_alone(load):
    files = {"a.csv": "text,label,w\nx,p,0.5\ny,q,3\n", "b.csv": "text,label\nx,p\n"}
    splits = load(files, weight="w", validation="b.csv", test="a.csv")
    assert splits.train.column("weight").tolist() == [0.5, 3.0]
    assert splits.validation.names == splits.test.names == ("text", "label")
    assert "weight" not in load(files).train.names
    with pytest.raises(UserError, match=r"b\.csv:1: no column 'w'"):
        load(files, train=["a.csv", "b.csv"], weight="w")


def test_predictions_name_nested_keys_too(tmp_path):
    (tmp_path / "new.jsonl").write_text(lines({"id": 7, "review": {"body": "a"}}))
    (record,) = read_texts(str(tmp_path / "new.jsonl"), "jsonl", Columns("review.body"))
    assert (record.text, record.id) == ("a", 7)
