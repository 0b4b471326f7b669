"""What people ask a trained run: predict, score, attend, compare."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import comparison, explain, prediction, tasks
from attnzoo.errors import UserError
from attnzoo.export import export
from attnzoo.run_dir import load_splits, load_trained
from attnzoo.tasks.answers import Request
from tests import commands

LINES = [(1, "abc\n"), (2, "\n"), (3, "ca\r\n"), (4, "b" * 50 + "\n"), (5, "no such letters")]
QUICK = Request(xla=False)


@pytest.fixture(scope="session")
def run(runs):
    """A run of a translator that turns words around."""
    return runs["translation"]


@pytest.fixture(scope="session")
def classifier(runs):
    return runs["text"]


def test_every_line_has_its_answer_in_order(run):
    answers = list(prediction.predict([run], LINES, QUICK, beams=3))
    assert [answer["cut"] for answer in answers] == [False, False, False, True, True]
    assert answers[1]["translation"] == ""
    for number, text in LINES:
        (alone,) = prediction.predict([run], [(number, text)], QUICK, beams=3)
        assert alone["translation"] == answers[number - 1]["translation"]
        assert alone["score"] == pytest.approx(answers[number - 1]["score"], abs=1e-4)


def test_compiled_answers_are_the_same(run):
    plain = list(prediction.predict([run], LINES[:3], QUICK, beams=2))
    compiled = list(prediction.predict([run], LINES[:3], Request(xla=True), beams=2))
    assert [answer["translation"] for answer in compiled] == [answer["translation"] for answer in plain]


def test_several_answers_come_best_first(run):
    (answer,) = prediction.predict([run], LINES[:1], Request(count=3, xla=False), beams=4)
    scores = [one["score"] for one in answer["translations"]]
    assert scores == sorted(scores, reverse=True)
    assert len({one["translation"] for one in answer["translations"]}) == 3
    assert answer["translation"] == answer["translations"][0]["translation"]


def test_samples_follow_their_seed(run):
    def drawn(seed):
        """Best first, though draws come in no order."""
        request = Request(count=4, sample=True, seed=seed, xla=False)
        (answer,) = prediction.predict([run], LINES[:1], request)
        scores = [one["score"] for one in answer["translations"]]
        assert scores == sorted(scores, reverse=True)
        assert answer["score"] == scores[0]
        return [one["translation"] for one in answer["translations"]]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_run_together_with_itself_answers_like_it(run, classifier):
    alone = list(prediction.predict([run], LINES[:3], QUICK, beams=2))
    both = list(prediction.predict([run, run], LINES[:3], QUICK, beams=2))
    assert [answer["translation"] for answer in both] == [answer["translation"] for answer in alone]
    with pytest.raises(UserError, match="only if both were trained on the same data"):
        next(prediction.predict([run, classifier], LINES, QUICK))


def test_an_export_writes_the_translations_of_predict_and_their_alignment(run, tmp_path):
    trained = load_trained(run)
    sources = list(load_splits(trained.config).test.columns["source"])
    answers = list(prediction.predict([run], enumerate(sources, 1), QUICK))
    loaded = tf.saved_model.load(str(export(run, tmp_path / "export")))
    given = loaded.signatures["serving_default"](tf.constant(sources))
    assert [text.decode() for text in given["translation"].numpy()] == [a["translation"] for a in answers]
    np.testing.assert_allclose(given["score"], [answer["score"] for answer in answers], atol=1e-4)
    aligned = loaded.signatures["alignment"](tf.constant(sources))
    written = tf.cast(aligned["target_tokens"] != 0, tf.float32)
    np.testing.assert_allclose(tf.reduce_sum(aligned["alignment"], axis=-1), written, atol=1e-5)


def test_scores_are_the_log_probabilities_of_the_search(run, tmp_path):
    sources = ["abc", "cab", "bb"]
    answers = list(prediction.predict([run], enumerate(sources, 1), QUICK))
    targets = [answer["translation"] for answer in answers]
    assert all(targets)
    for name, texts in (("source", sources), ("target", targets)):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    found = list(prediction.score(run, tmp_path / "source", tmp_path / "target"))
    assert [one["log_probability"] for one in found] == pytest.approx(
        [answer["log_probability"] for answer in answers], abs=1e-3
    )
    assert [one["tokens"] for one in found] == [len(text) + 1 for text in targets]
    (tmp_path / "target").write_text("one\n")
    with pytest.raises(UserError, match=r"has 3 lines and .* has 1; line n of one must be the translation"):
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
        with pytest.raises(UserError, match="a run of translation; only text classifiers can be asked"):
            ask(run)


def test_a_classifier_answers_with_labels_and_probabilities(classifier):
    (answer,) = prediction.predict([classifier], [(1, "guten morgen\n")], QUICK)
    assert answer["label"] in ("de", "en")
    assert math.isclose(sum(answer["probabilities"].values()), 1.0, abs_tol=1e-5)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert tasks.load("text_classification").MONITOR == "accuracy"


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
    command = f"yes abc | head -3000 | {sys.executable} -m attnzoo predict {run} | head -2"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert len(ended.stdout.splitlines()) == 2
    assert "Traceback" not in ended.stderr
