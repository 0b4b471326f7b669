"""What people ask a trained run: predict, score, attend, compare."""

import gzip
import itertools
import json
import math
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import comparison, explain, prediction, tasks
from attnzoo.data.text_records import TextRecord
from attnzoo.errors import UserError
from attnzoo.evaluation import evaluate
from attnzoo.export import export
from attnzoo.run_dir import load_splits, load_trained
from attnzoo.tasks.answers import Request
from attnzoo.training.run import train
from tests import commands, recipes

TEXTS = [TextRecord(text) for text in ("abc", "", "ca", "b" * 50, "no such letters")]
QUICK = Request(xla=False)


@pytest.fixture(scope="session")
def run(runs):
    """A run of a translator that turns words around."""
    return runs["translation"]


@pytest.fixture(scope="session")
def classifier(runs):
    return runs["text"]


def test_every_line_has_its_answer_in_order(run):
    answers = list(prediction.predict([run], TEXTS, QUICK, beams=3))
    assert [answer["cut"] for answer in answers] == [False, False, False, True, True]
    assert answers[1]["translation"] == ""
    for place in (2, 3):
        (alone,) = prediction.predict([run], [TEXTS[place]], QUICK, beams=3)
        assert alone["translation"] == answers[place]["translation"]
        assert alone["score"] == pytest.approx(answers[place]["score"], abs=1e-4)


def test_compiled_answers_are_the_same(run):
    plain = list(prediction.predict([run], TEXTS[:3], QUICK, beams=2))
    compiled = list(prediction.predict([run], TEXTS[:3], Request(xla=True), beams=2))
    assert [answer["translation"] for answer in compiled] == [answer["translation"] for answer in plain]


def test_several_answers_come_best_first(run):
    (answer,) = prediction.predict([run], TEXTS[:1], Request(count=3, xla=False), beams=4)
    scores = [one["score"] for one in answer["translations"]]
    assert scores == sorted(scores, reverse=True)
    assert len({one["translation"] for one in answer["translations"]}) == 3
    assert answer["translation"] == answer["translations"][0]["translation"]


def test_samples_follow_their_seed(run):
    def drawn(seed):
        """Best first, though draws come in no order."""
        request = Request(count=4, sample=True, seed=seed, xla=False)
        (answer,) = prediction.predict([run], TEXTS[:1], request)
        scores = [one["score"] for one in answer["translations"]]
        assert scores == sorted(scores, reverse=True)
        assert answer["score"] == scores[0]
        return [one["translation"] for one in answer["translations"]]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_run_together_with_itself_answers_like_it(run, classifier):
    alone = list(prediction.predict([run], TEXTS[:3], QUICK, beams=2))
    both = list(prediction.predict([run, run], TEXTS[:3], QUICK, beams=2))
    assert [answer["translation"] for answer in both] == [answer["translation"] for answer in alone]
    with pytest.raises(UserError, match="only if both were trained on the same data"):
        next(prediction.predict([run, classifier], TEXTS, QUICK))


def test_an_export_writes_the_translations_of_predict_and_their_alignment(run, tmp_path):
    trained = load_trained(run)
    sources = list(load_splits(trained.config).test.columns["source"])
    answers = list(prediction.predict([run], map(TextRecord, sources), QUICK))
    loaded = tf.saved_model.load(str(export(run, tmp_path / "export")))
    given = loaded.signatures["serving_default"](tf.constant(sources))
    assert [text.decode() for text in given["translation"].numpy()] == [a["translation"] for a in answers]
    np.testing.assert_allclose(given["score"], [answer["score"] for answer in answers], atol=1e-4)
    aligned = loaded.signatures["alignment"](tf.constant(sources))
    written = tf.cast(aligned["target_tokens"] != 0, tf.float32)
    np.testing.assert_allclose(tf.reduce_sum(aligned["alignment"], axis=-1), written, atol=1e-5)


def test_scores_are_the_log_probabilities_of_the_search(run, tmp_path):
    sources = ["abc", "cab", "bb"]
    answers = list(prediction.predict([run], map(TextRecord, sources), QUICK))
    targets = [answer["translation"] for answer in answers]
    assert all(targets)
    for name, texts in (("source", [*sources, "b" * 50]), ("target", [*targets, "b"])):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    *found, long = prediction.score(run, tmp_path / "source", tmp_path / "target")
    assert [one["cut"] for one in (*found, long)] == [False, False, False, True]
    assert [one["log_probability"] for one in found] == pytest.approx(
        [answer["log_probability"] for answer in answers], abs=1e-3
    )
    assert [one["tokens"] for one in found] == [len(text) + 1 for text in targets]
    (tmp_path / "target").write_text("one\n")
    with pytest.raises(UserError, match=r"has 4 lines and .* has 1; line n of one must be the translation"):
        list(prediction.score(run, tmp_path / "source", tmp_path / "target"))


@pytest.mark.parametrize("beams", [1, 3])
def test_attention_is_shown_as_data_and_as_a_picture(run, tmp_path, beams):
    one, other = explain.align(run, ["abc", "ca"], beams)
    assert one.source_tokens == ["a", "b", "c", "(end)"]
    assert one.weights.shape == (len(one.target_tokens), 4)
    assert other.source_tokens == ["c", "a", "(end)"]
    np.testing.assert_allclose(one.weights.sum(axis=1), 1.0, atol=1e-5)
    assert json.loads(one.to_json())["translation"] == one.translation
    explain.draw(one, tmp_path / "pictures" / "1.png")
    picture = tf.io.decode_png((tmp_path / "pictures" / "1.png").read_bytes())
    assert picture.shape[0] > 100
    assert len(explain.align(run, count=2)) == 2
    longest = load_trained(run).info.buckets[-1]["source"] - 1  # END takes a place
    whole, cut = explain.align(run, ["b" * longest, "b" * (longest + 1)], beams)
    assert (one.cut, whole.cut, cut.cut) == (False, False, True)
    assert whole.source_tokens == cut.source_tokens == [*"b" * longest, "(end)"]


def test_tokens_of_any_signs_are_drawn_as_they_are(tmp_path, recwarn):
    tokens = ["$$", r"$5-$\foo$", "猫", "\x00", "(end)"]
    alignment = explain.Alignment("any", "any", tokens, tokens, np.eye(5, dtype=np.float32), cut=False)
    explain.draw(alignment, tmp_path / "1.png")
    assert tf.io.decode_png((tmp_path / "1.png").read_bytes()).shape[0] > 100
    assert not recwarn.list


def test_a_run_is_not_better_than_itself(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    found, signature = comparison.compare([run, other])
    assert [one.p_value for one in found] == [None, 1.0]
    assert found[1].bleu == found[0].bleu
    assert "bs:1000" in signature
    with pytest.raises(UserError, match="one run has nothing to be compared with"):
        comparison.compare([run])


def test_other_tasks_are_refused_in_one_line(run, classifier):
    for ask in (
        lambda: explain.align(classifier),
        lambda: comparison.compare([classifier, classifier]),
        lambda: list(prediction.score(classifier, classifier, classifier)),
    ):
        with pytest.raises(UserError, match="a run of text_classification; only translations can be"):
            ask()
    for ask in (explain.attend, explain.faithfulness):
        with pytest.raises(UserError, match=r"a run of translation; only text classifiers .*can be asked"):
            ask(run)


def test_a_classifier_answers_with_labels_and_probabilities(classifier):
    (answer,) = prediction.predict([classifier], [TextRecord("guten morgen")], QUICK)
    assert answer["label"] in ("de", "en")
    assert math.isclose(sum(answer["probabilities"].values()), 1.0, abs_tol=1e-5)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert tasks.load("text_classification").MONITOR == "accuracy"


def test_tables_and_json_lines_are_answered_like_lines_with_their_ids(classifier, tmp_path):
    texts = ["guten morgen 1", "thank you\n2", "hallo, freund"]
    (tmp_path / "new.csv").write_text('id,text\nx,guten morgen 1\n,"thank you\n2"\n\n7,"hallo, freund"\n')
    records = [{"id": "x", "body": texts[0]}, {"body": texts[1], "id": None}, {"body": texts[2], "id": 7}]
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())
    (tmp_path / "new.jsonl.gz").write_bytes(packed)
    expected = list(prediction.predict([classifier], map(TextRecord, texts), QUICK))
    for arguments, ids in (
        (("new.csv",), ["x", "", "7"]),
        (("new.jsonl.gz", "--column", "body"), ["x", None, 7]),
    ):
        ended = commands.run("predict", classifier, *arguments, "--json", folder=tmp_path)
        given = [json.loads(line) for line in ended.out.splitlines()]
        assert [one.pop("id", None) for one in given] == ids
        assert [one["label"] for one in given] == [one["label"] for one in expected]
        for one, other in zip(given, expected, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_bytes_of_texts_that_are_cleaned_train_answer_and_serve_alike(tmp_path, capsys):
    steps = "data.clean=[html, unicode, whitespace]"
    config = recipes.text_config(
        tmp_path, steps, "data.tokenizer=bytes", "data.max_length=11", "train.epochs=1", "train.xla=false"
    )
    train(config, tmp_path / "run")
    info = json.loads((tmp_path / "run" / "info.json").read_text())
    assert info["tokenizers"]["text"] == {
        "kind": "bytes",
        "lowercase": True,
        "clean": ["html", "unicode", "whitespace"],
    }
    assert f"tokens cut: train {info['cut_share']['train']:.2%}, " in capsys.readouterr().out
    result = evaluate(tmp_path / "run")
    assert result["cut_share"] == info["cut_share"]["test"]
    lengths = [len(text) for text in load_splits(config.config).test.columns["text"]]
    assert result["cut_share"] == pytest.approx(sum(max(0, n - 11) for n in lengths) / sum(lengths))
    texts = ["guten morgen", "Guten<br />\u3000ｍorgen", "thank you", "thank&nbsp;you"]
    first, second, third, fourth = prediction.predict([tmp_path / "run"], map(TextRecord, texts), QUICK)
    assert first == second
    assert third == fourth
    served = tf.saved_model.load(str(export(tmp_path / "run"))).signatures["serving_default"]
    labels = info["labels"]
    for answer, row in zip(
        (first, second, third, fourth), served(tf.constant(texts))["probabilities"], strict=True
    ):
        np.testing.assert_allclose([answer["probabilities"][name] for name in labels], row, atol=1e-5)
    described = json.loads((tmp_path / "run" / "export" / "export.json").read_text())
    assert described["needs_tensorflow_text"] is True


def test_texts_are_streamed_from_records_without_end(classifier):
    """Only as many records are read as are answered, and they are forgotten then."""
    seen, numbers = weakref.WeakSet(), itertools.count()

    class Watched(str):
        __slots__ = ("__weakref__",)

    def endless():
        while True:
            text = Watched(f"guten morgen {next(numbers)}")
            seen.add(text)
            yield TextRecord(text)

    answers = prediction.predict([classifier], endless(), QUICK, at_once=8)
    for _ in range(100):
        next(answers)
        assert len(seen) <= 16


def test_the_commands_print_lines_and_name_what_is_wrong(run, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"abc\nca\n\xff\n")
    ended = commands.run("predict", run, "bad.txt", folder=tmp_path)
    assert ended.code == 2
    assert len(ended.out.splitlines()) == 2
    assert ended.err.endswith("start byte); save the file as UTF-8.\n")
    assert "bad.txt:3: not UTF-8" in ended.err
    ended = commands.run("predict", run, "missing.txt", folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    ended = commands.run("predict", run, "bad.txt", "--count", "3", folder=tmp_path)
    assert "--count 3: a search with 1 beam(s)" in ended.err
    ended = commands.run("predict", run, "bad.txt", "--top-k", "3", folder=tmp_path)
    assert ended.code == 2
    assert ended.err.endswith("are about draws: add --sample\n")
    ended = commands.run("attend", run, "abc", "--out", "pictures", folder=tmp_path)
    assert ended.code == 0
    assert "abc  ->  " in ended.out
    assert (tmp_path / "pictures" / "1.png").is_file()


def test_standard_input_is_answered_until_the_reader_has_enough(run):
    command = f"(echo source; yes abc) | {sys.executable} -m attnzoo predict {run} --format csv | head -2"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert len(ended.stdout.splitlines()) == 2
    assert "Traceback" not in ended.stderr
