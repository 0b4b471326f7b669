"""What people ask a trained run: predict, score, compare."""

import csv
import dataclasses
import gzip
import io
import itertools
import json
import math
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import comparison, prediction, tasks
from attnzoo.errors import UserError
from attnzoo.evaluation import evaluate
from attnzoo.explanation import Explanation
from attnzoo.export import export
from attnzoo.records.text_records import TextRecord, read_pairs
from attnzoo.runs.data import load_splits
from attnzoo.runs.trained import load_trained
from attnzoo.tasks.types import Request
from attnzoo.training.run import train
from tests import commands, recipes
from tests.robustness.malformed_images import png

TEXTS = [TextRecord(text) for text in ("abc", "", "ca", "b" * 50, "no such letters")]
QUICK = Request(xla=False)


def predict(folders, records, request=QUICK, chunk_size=prediction.CHUNK_SIZE, **changes):
    """Returns the answers of runs to records."""
    return prediction.EnsemblePredictor(folders, dataclasses.replace(request, **changes)).predict(
        records, chunk_size
    )


@pytest.fixture(scope="session")
def run(runs):
    """A run of a translator that turns words around."""
    return runs["translation"]


@pytest.fixture(scope="session")
def classifier(runs):
    return runs["text"]


def test_every_line_has_its_answer_in_order(run):
    answers = list(predict([run], TEXTS, beams=3))
    assert [answer["beyond_training"] for answer in answers] == [False, False, False, True, True]
    assert not any(answer["truncated"] for answer in answers)
    assert answers[1]["translation"] == ""
    for place in (2, 3):
        (alone,) = predict([run], [TEXTS[place]], beams=3)
        assert alone["translation"] == answers[place]["translation"]
        assert alone["score"] == pytest.approx(answers[place]["score"], abs=1e-4)


@pytest.mark.slow
def test_compiled_answers_are_the_same(run):
    plain = list(predict([run], TEXTS[:3], beams=2))
    compiled = list(predict([run], TEXTS[:3], Request(xla=True), beams=2))
    assert [answer["translation"] for answer in compiled] == [answer["translation"] for answer in plain]


def test_several_answers_come_best_first(run):
    (answer,) = predict([run], TEXTS[:1], Request(count=3, xla=False), beams=4)
    scores = [one["score"] for one in answer["translations"]]
    assert scores == sorted(scores, reverse=True)
    assert len({one["translation"] for one in answer["translations"]}) == 3
    assert answer["translation"] == answer["translations"][0]["translation"]


@pytest.mark.slow
def test_samples_follow_their_seed(run):
    def drawn(seed):
        """Best first, though draws come in no order."""
        request = Request(count=4, sample=True, seed=seed, xla=False)
        (answer,) = predict([run], TEXTS[:1], request)
        scores = [one["score"] for one in answer["translations"]]
        assert scores == sorted(scores, reverse=True)
        assert answer["score"] == scores[0]
        return [one["translation"] for one in answer["translations"]]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_sample_depends_on_nothing_beside_its_input(run):
    """Neither on the lengths of other inputs, nor on where chunks end, nor on a prefix that is no good."""
    request = Request(sample=True, seed=5, has_prefixes=True, xla=False)
    records = [TextRecord(text, target=start) for text, start in zip("abcabc", "ababab", strict=True)]
    first = [answer["translation"] for answer in predict([run], records, request)]
    assert len(set(first)) > 2
    records[1] = records[1]._replace(target="a" * 99)
    records[3] = TextRecord("b" * 20)
    second = [answer["translation"] for answer in predict([run], records, request, chunk_size=4)]
    assert second[1] is None
    assert [second[place] for place in (0, 2, 4, 5)] == [first[place] for place in (0, 2, 4, 5)]


def test_xla_compiles_when_many_inputs_arrive_at_once(run, monkeypatch):
    built = []

    def fake(self, xla):
        built.append(xla)
        return lambda texts: [{"translation": text} for text in texts]

    def live(records, size):
        for count in (3, 5, prediction.MIN_TEXTS_FOR_XLA, 70, 2):
            yield list(itertools.islice(records, count))

    monkeypatch.setattr(prediction, "live_chunks", live)
    monkeypatch.setattr(prediction.EnsemblePredictor, "_predictor", fake)
    for xla, expected in ((None, [False, True]), (False, [False]), (True, [True])):
        built.clear()
        records = (TextRecord(f"text {number}") for number in range(144))
        answers = prediction.EnsemblePredictor([run], Request(xla=xla)).predict(records, is_live=True)
        assert [answer["translation"] for answer in answers] == [f"text {number}" for number in range(144)]
        assert built == expected


@pytest.mark.slow
def test_a_run_together_with_itself_answers_like_it(run, classifier):
    alone = list(predict([run], TEXTS[:3], beams=2))
    both = list(predict([run, run], TEXTS[:3], beams=2))
    assert [answer["translation"] for answer in both] == [answer["translation"] for answer in alone]
    with pytest.raises(UserError, match="an ensemble needs the same task, data and vocabulary"):
        next(predict([run, classifier], TEXTS))


@pytest.mark.slow
def test_an_ensemble_multiplies_as_exactly_as_its_most_exact_run(classifier, tmp_path):
    fast = tmp_path / "fast"
    shutil.copytree(classifier, fast)
    config = fast / "config.yaml"
    text = config.read_text()
    assert "tensor_float_32: false" in text
    config.write_text(text.replace("tensor_float_32: false", "tensor_float_32: true"))
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    try:
        for folders, expected in (([fast], True), ([classifier, fast], False)):
            prediction.EnsemblePredictor(folders, QUICK)
            assert enabled() is expected
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


@pytest.mark.slow
def test_an_export_writes_the_translations_of_predict_and_their_alignment(run, tmp_path):
    trained = load_trained(run)
    sources = [*load_splits(trained.config).test.column("source"), "b" * 50]  # longer than in training
    answers = list(predict([run], map(TextRecord, sources)))
    loaded = tf.saved_model.load(str(export(run, tmp_path / "export")))
    given = loaded.signatures["serving_default"](tf.constant(sources))
    assert [text.decode() for text in given["translation"].numpy()] == [a["translation"] for a in answers]
    assert all(len(answer["translation"]) >= 2 for answer in answers)  # eval.min_length
    np.testing.assert_allclose(given["score"], [answer["score"] for answer in answers], atol=1e-4)
    aligned = loaded.signatures["alignment"](tf.constant(sources))
    written = tf.cast(aligned["target_tokens"] != 0, tf.float32)
    np.testing.assert_allclose(tf.reduce_sum(aligned["alignment"], axis=-1), written, atol=1e-5)


def test_scores_are_the_log_probabilities_of_the_search(run, tmp_path):
    sources = ["abc", "cab", "bb"]
    answers = list(predict([run], map(TextRecord, sources)))
    targets = [answer["translation"] for answer in answers]
    assert all(targets)
    for name, texts in (("source", [*sources, "", "b" * 50]), ("target", [*targets, "a", "b"])):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    files = (str(tmp_path / "source"), str(tmp_path / "target"))
    *actual, empty, long = (one for _, one in prediction.score(run, read_pairs(*files), with_tokens=True))
    assert [one["beyond_training"] for one in (*actual, long)] == [False, False, False, True]
    assert [one["log_probability"] for one in actual] == pytest.approx(
        [answer["log_probability"] for answer in answers], abs=1e-3
    )
    assert [one["tokens"] for one in actual] == [len(text) + 1 for text in targets]
    each = [one["token_log_probabilities"] for one in actual]
    assert [[token["token"] for token in one] for one in each] == [[*text, "(end)"] for text in targets]
    for one, tokens in zip(actual, each, strict=True):
        assert sum(token["log_probability"] for token in tokens) == pytest.approx(one["log_probability"])
    assert empty.keys() - actual[0].keys() == {"error"}
    assert (empty["log_probability"], empty["error"].startswith(f"{files[0]}:4: the text is")) == (None, True)
    (tmp_path / "target").write_text("one\n")
    with pytest.raises(UserError, match=r"has 5 lines and .* has 1; line n of one must be the translation"):
        list(prediction.score(run, read_pairs(*files)))


def test_lines_and_tables_of_pairs_are_scored_alike(run, tmp_path):
    (tmp_path / "lines.txt").write_text("abc\tcba\nno tab\nca\tac\n")
    (tmp_path / "pairs.csv").write_text("id,from,target\nx,abc,cba\ny,,x\nz,ca,ac\n")
    piped = {commands.STANDARD_INPUT: "lines.txt"}
    lines = commands.run("score", run, folder=tmp_path, environment=piped)
    table = commands.run("score", run, "pairs.csv", "--column", "from", "--csv", folder=tmp_path)
    first, wrong, last = map(json.loads, lines.out.splitlines())
    assert (wrong["log_probability"], wrong["error"][:20]) == (None, "standard input:2: no")
    assert (
        "1 of 3 inputs has no answer: 1 with an empty text (first: pairs.csv:3: the text is empty"
        in table.err
    )
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [row["id"] for row in rows] == ["x", "y", "z"]
    assert rows[1]["log_probability"] == ""
    for row, one in ((rows[0], first), (rows[2], last)):
        assert float(row["log_probability"]) == pytest.approx(one["log_probability"], abs=1e-5)


@pytest.mark.slow
def test_a_translation_begins_as_it_is_told(run, tmp_path):
    (tmp_path / "new.csv").write_text("key,source,start\n1,abc,ca\n2,abc,\n3,abc," + "a" * 99 + "\n")
    ended = commands.run(
        "predict", run, "new.csv", "--id", "key", "--prefix-column", "start", "--json", folder=tmp_path
    )
    first, free, long = map(json.loads, ended.out.splitlines())
    assert [one["id"] for one in (first, free, long)] == ["1", "2", "3"]
    assert first["translation"].startswith("ca")
    (alone,) = predict([run], [TextRecord("abc")])
    assert free["translation"] == alone["translation"]
    assert (long["translation"], "99 tokens; translations have at most" in long["error"]) == (None, True)
    request = dataclasses.replace(QUICK, has_prefixes=True)
    (searched,) = predict([run], [TextRecord("abc", target="ca")], request, beams=3)
    assert searched["translation"].startswith("ca")


@pytest.mark.slow
def test_all_translations_begin_with_the_prefix_of_the_command(run, tmp_path):
    (tmp_path / "new.txt").write_text("abc\nbb\n")
    ended = commands.run("predict", run, "new.txt", "--prefix", "ca", folder=tmp_path)
    assert [line[:2] for line in ended.out.splitlines()] == ["ca", "ca"]


@pytest.mark.slow
def test_a_run_is_not_better_than_itself(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    actual, signature = comparison.compare([run, other])
    assert [one.p_value for one in actual] == [None, 1.0]
    assert [one.metric for one in actual] == ["bleu", "bleu"]
    assert actual[1].value == actual[0].value
    assert "bs:1000" in signature
    with pytest.raises(UserError, match="a comparison needs two or more runs"):
        comparison.compare([run])


def test_other_tasks_are_refused_in_one_line(classifier):
    with pytest.raises(UserError, match="a run of text_classification; given answers are scored only for"):
        list(prediction.score(classifier, []))
    with pytest.raises(UserError, match="runs of text_classification cannot be compared"):
        comparison.compare([classifier, classifier])
    with pytest.raises(
        UserError,
        match="--count and --beams are only for translation; --iou is only for detection",
    ):
        prediction.EnsemblePredictor([classifier], Request(count=3, beams=2, suppression_iou=0.5))


def test_a_classifier_answers_with_labels_and_probabilities(classifier):
    (answer,) = predict([classifier], [TextRecord("guten morgen")])
    assert answer["label"] in ("de", "en")
    assert math.isclose(sum(answer["probabilities"].values()), 1.0, abs_tol=1e-5)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert tasks.load("text_classification").monitor == "accuracy"


def test_tables_and_json_lines_are_answered_like_lines_with_their_ids(classifier, tmp_path):
    texts = ["guten morgen 1", "thank you\n2", "hallo, freund"]
    (tmp_path / "new.csv").write_text('id,text\nx,guten morgen 1\n,"thank you\n2"\n\n7,"hallo, freund"\n')
    records = [{"id": "x", "body": texts[0]}, {"body": texts[1], "id": None}, {"body": texts[2], "id": 7}]
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())
    (tmp_path / "new.jsonl.gz").write_bytes(packed)
    expected = list(predict([classifier], map(TextRecord, texts)))
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


def test_the_files_of_a_folder_are_answered_in_a_file(classifier, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b.csv").write_text("key,text\nx,thank you\ny,\n")
    (tmp_path / "texts" / "a.txt").write_text("guten morgen\n")
    (tmp_path / "texts" / "notes.md").write_text("not read\n")
    options = ("--id", "key", "--top", "2", "--out", "out/answers.csv")
    ended = commands.run("predict", classifier, "texts", *options, folder=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith(
        "attnzoo: note: 3 answers are in out/answers.csv\nattnzoo: warning: 1 of 3 inputs has no answer: "
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "answers.csv").read_text())))
    assert [(row["id"], row["location"]) for row in rows] == [
        ("", "texts/a.txt:1"),
        ("x", "texts/b.csv:2"),
        ("y", "texts/b.csv:3"),
    ]
    for row in rows[:2]:
        top = json.loads(row["top"])
        assert (top[0]["label"], float(row["probability"])) == (row["label"], top[0]["probability"])
        assert (len(top), row["error"]) == (2, "")
    assert rows[2]["label"] == rows[2]["top"] == ""
    assert rows[2]["error"].startswith("texts/b.csv:3: the text is empty")


def test_images_are_answered_by_their_paths_from_lines_and_tables(runs, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, level in (("night.png", 40), ("day.png", 210)):
        (folder / name).write_bytes(tf.io.encode_png(np.full((9, 7, 3), level, np.uint8)).numpy())
    paths = ["pictures/night.png", str(folder / "day.png")]
    (tmp_path / "new.txt").write_text("\n".join(paths) + "\n")
    (tmp_path / "new.csv").write_text(f"id,image\nx,{paths[0]}\n7,{paths[1]}\n")
    (folder / "beside.jsonl").write_text('{"image": "night.png"}\n{"image": "day.png"}\n')
    maps = Explanation(runs["image"]).explain_inputs([str(folder / "night.png"), str(folder / "day.png")])
    expected = [json.loads(one.to_json()) for one in maps]
    for file, ids in (("new.txt", [None, None]), ("new.csv", ["x", "7"]), (folder / "beside.jsonl", None)):
        ended = commands.run("predict", runs["image"], file, "--json", folder=tmp_path)
        assert ended.code == 0, ended.err
        given = [json.loads(line) for line in ended.out.splitlines()]
        assert [Path(one["image"]).name for one in given] == ["night.png", "day.png"]
        if ids is not None:
            assert [one["image"] for one in given] == paths
            assert [one.get("id") for one in given] == ids
        assert [one["label"] for one in given] == [one["label"] for one in expected]
        for one, other in zip(given, expected, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    ended = commands.run("predict", runs["image"], "new.txt", folder=tmp_path)
    assert ended.out.splitlines() == [f"{one['label']}\t{one['probability']:.4f}" for one in expected]
    lines = ["pictures/night.png", "new.csv", "half.png", "", "pictures/day.png", "gone.png"]
    (tmp_path / "odd.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "half.png").write_bytes(png(8, 8, b"x\x9cnonsense"))
    ended = commands.run("predict", runs["image"], "odd.txt", "--json", folder=tmp_path)
    given = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, [one["image"] for one in given]) == (0, lines)
    assert [one["label"] for one in given] == [
        *(expected[0]["label"], None, None, None, expected[1]["label"], None)
    ]
    for one, message in zip(
        [one["error"] for one in given if one["label"] is None],
        (
            "2: new.csv: not a JPEG,",
            "3: half.png: cannot be decoded",
            "4: the image name is empty",
            "6: gone.png: cannot be read",
        ),
        strict=True,
    ):
        assert one.startswith(f"odd.txt:{message}")
    assert ended.err.startswith(
        "attnzoo: warning: 4 of 6 inputs have no answer: 1 not an image (first: odd.txt:2"
    )
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_bytes_of_texts_that_are_cleaned_train_answer_and_serve_alike(tmp_path, capsys):
    steps = "data.clean=[html, unicode, whitespace]"
    config = recipes.text_config(
        tmp_path, steps, "data.tokenizer=bytes", "data.max_length=11", "train.epochs=1", "train.xla=false"
    )
    train(config, tmp_path / "run")
    info = json.loads((tmp_path / "run" / "info.json").read_text())
    text, label = info["features"]
    assert text["tokenizer"] == {
        "kind": "bytes",
        "lowercase": True,
        "clean": ["html", "unicode", "whitespace"],
    }
    assert f"tokens truncated: train {info['truncated_fraction']['train']:.2%}, " in capsys.readouterr().out
    result, _ = evaluate(tmp_path / "run")
    assert result["truncated_fraction"] == info["truncated_fraction"]["test"]
    lengths = [len(text) for text in load_splits(config.config).test.column("text")]
    assert result["truncated_fraction"] == pytest.approx(sum(max(0, n - 11) for n in lengths) / sum(lengths))
    texts = ["guten morgen", "Guten<br />\u3000ｍorgen", "thank you", "thank&nbsp;you"]
    first, second, third, fourth = predict([tmp_path / "run"], map(TextRecord, texts))
    assert first == second
    assert third == fourth
    served = tf.saved_model.load(str(export(tmp_path / "run"))).signatures["serving_default"]
    labels = label["names"]
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

    answers = predict([classifier], endless(), chunk_size=8)
    for _ in range(100):
        next(answers)
        assert len(seen) <= 16


def test_the_commands_print_lines_and_name_what_is_wrong(run, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"abc\n\xff\nca\n")
    for strict, code, word in (((), 0, "warning"), (("--strict",), 2, "error")):
        ended = commands.run("predict", run, "bad.txt", *strict, folder=tmp_path)
        assert (ended.code, [bool(line) for line in ended.out.splitlines()]) == (code, [True, False, True])
        assert ended.err == (
            f"attnzoo: {word}: 1 of 3 inputs has no answer: 1 not UTF-8 (first: bad.txt:2: not UTF-8: byte "
            "0xff; save the file as UTF-8.)\n"
        )
    ended = commands.run("predict", run, "missing.txt", folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    ended = commands.run("predict", run, "bad.txt", "--count", "3", folder=tmp_path)
    assert "--count 3: a search with 1 beam(s)" in ended.err
    ended = commands.run("predict", run, "bad.txt", "--top-k", "3", folder=tmp_path)
    assert ended.code == 2
    assert ended.err.endswith("need --sample: add it\n")
    ended = commands.run("attend", run, "abc", "--out", "pictures", folder=tmp_path)
    assert ended.code == 0
    assert "abc  ->  " in ended.out
    assert (tmp_path / "pictures" / "1.png").is_file()


def test_standard_input_is_answered_line_by_line_until_the_reader_has_enough(run):
    command = [sys.executable, "-m", "attnzoo", "predict", run, "-", "--input-format", "jsonl", "--json"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, bufsize=1, **pipes) as asked:
        watchdog = threading.Timer(120, asked.kill)
        watchdog.start()
        for text, is_answered in (("abc", True), (None, False), ("ca", True)):
            print(json.dumps({"source": text, "id": 7}), file=asked.stdin, flush=True)
            answer = json.loads(asked.stdout.readline())
            assert (answer["id"], answer["translation"] is not None) == (7, is_answered)
        asked.stdout.close()
        print(json.dumps({"source": "abc"}), file=asked.stdin, flush=True)
        assert asked.wait(60) == 0  # although its input is still open
        assert "Traceback" not in asked.stderr.read()
        watchdog.cancel()
