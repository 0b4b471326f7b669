"""What `attnzoo eval` refuses before it begins, and the files that it writes."""

import csv
import json

import pytest

from attnzoo import evaluation, tasks
from attnzoo.errors import UserError
from attnzoo.tasks import one_target


class Loaded(Exception):
    """Something was loaded."""


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*_):
        raise Loaded

    monkeypatch.setattr(evaluation, "load_trained", load)


@pytest.mark.parametrize(
    ("predictions", "data", "message"),
    [
        ("{run}/metrics.jsonl", (), "a file that the run needs itself; choose another name."),
        ("{run}/../train.csv", (), "a file that is read; choose another name."),
        ("{run}/../test.csv", ("more.csv",), "a file that is read; choose another name."),
        ("more.csv", ("./more.csv",), "a file that is read; choose another name."),
        ("more.csv", ("m*.csv",), "a file that is read; choose another name."),
        ("link.csv", ("more.csv",), "a file that is read; choose another name."),
    ],
)
@pytest.mark.usefixtures("loads_nothing")
def test_predictions_replace_neither_data_nor_files_of_a_run(runs, empty_folder, predictions, data, message):
    (empty_folder / "more.csv").write_text("text,label\nhello,en\n")
    (empty_folder / "link.csv").symlink_to("more.csv")
    path = empty_folder / predictions.format(run=runs["text"])
    before = path.read_bytes()
    with pytest.raises(UserError) as caught:
        evaluation.evaluate(runs["text"], data=data, predictions=path)
    assert str(caught.value) == f"--predictions {path}: {message.format(run=runs['text'])}"
    assert path.read_bytes() == before


@pytest.mark.usefixtures("loads_nothing")
def test_predictions_of_earlier_are_replaced(runs, empty_folder):
    (empty_folder / "old.csv").write_text("text,label\n")
    with pytest.raises(Loaded):
        evaluation.evaluate(runs["text"], data=["no.csv"], predictions=empty_folder / "old.csv")
    with pytest.raises(UserError, match=r"metrics\.jsonl: a file that the run needs"):
        evaluation.evaluate(runs["image"], predictions=runs["text"] / "metrics.jsonl")


def test_tasks_without_answers_to_whole_splits_are_refused_before_the_evaluation(runs, monkeypatch):
    monkeypatch.setattr(one_target, "MAX_OUTPUTS", 1)
    monkeypatch.setattr(evaluation, "load_split", None)
    message = (
        "a run with 2 labels; answers to whole splits are for up to 1; leave out --worst and --predictions"
    )
    with pytest.raises(UserError, match=message):
        evaluation.evaluate(runs["text"], worst=1)
    masked = tasks.load("masked_text")
    assert masked.prediction_problem(None) == "a run of masked_text, which gives no answers to whole texts"


def test_a_file_of_answers_is_complete_or_as_it_was(runs, tmp_path, monkeypatch):
    rows = [{"text": "half \ud800 of a sign", "probabilities": {"a": 0.5, "b": 0.25}, "labels": ["a"]}]

    def write(name, results):
        monkeypatch.setattr(one_target.OneTargetTask, "results", lambda *_: results)
        evaluation.evaluate(runs["text"], predictions=tmp_path / name)
        return tmp_path / name

    assert json.loads(write("all.jsonl", iter(rows)).read_text()) == rows[0]
    with write("all.csv", iter(rows)).open(newline="") as file:
        assert [*csv.reader(file)] == [
            ["text", "probabilities.a", "probabilities.b", "labels"],
            ["half \\ud800 of a sign", "0.5", "0.25", '["a"]'],
        ]

    def broken():
        yield rows[0]
        raise UserError("broken")

    with pytest.raises(UserError, match="broken"):
        write("all.csv", broken())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "all.jsonl"]
    assert (tmp_path / "all.csv").read_text().count("half") == 1
    assert write("all.csv", iter(())).read_text() == ""
