"""What people do with a trained detector."""

import csv
import dataclasses
import io
import json
import re
import shutil
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog, comparison
from attnzoo.config import resolve
from attnzoo.errors import UserError
from attnzoo.evaluation import evaluate
from attnzoo.explanation import Explanation
from attnzoo.export import export
from attnzoo.runs.data import load_splits
from attnzoo.runs.trained import load_trained
from attnzoo.tasks.detection import Detection
from attnzoo.tasks.image_classification import ImageClassification
from tests import commands

LOW = ("--threshold", "0.0")
"""A detector that has hardly been trained is sure of nothing."""
IMAGES = ("a.png", "b.png", "more/a.png", "more/a_2.png")


def attnzoo(*arguments, folder="/"):
    """Runs the command line, with a limit that a busy machine does not reach."""
    return commands.run(*arguments, folder=folder, limit_seconds=600)


@pytest.fixture(scope="module")
def run(runs):
    return runs["detection"]


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Images of the test split, in a folder with a subfolder."""
    root = tmp_path_factory.mktemp("images")
    (root / "more").mkdir()
    images = load_splits(load_trained(run).config).test.column("image")
    for index, name in enumerate(IMAGES):
        (root / name).write_bytes(tf.io.encode_png(images[index]).numpy())
    return root


def test_the_end_of_training_shows_metrics_and_what_to_do(run):
    result = json.loads((run / "result.json").read_text())
    assert {"ap", "ap50", "ap75", "ar100", "ap_interval", "loss"} <= result["metrics"].keys()
    assert result["attends"]
    tags = {path.parent.name for path in (run / "logs").rglob("events*")}
    assert {"validation", "test"} <= tags


def test_lines_of_training_show_the_loss_average_precision_and_what_is_monitored():
    task = Detection()
    metrics = {
        "loss": 2.0,
        "box_loss": 1.0,
        "ap": 0.1,
        "ap50": 0.3,
        "ap75": 0.1,
        "ap_small": 0.2,
        "ar100": 0.5,
    }
    assert list(task.on_line(metrics, task.EvalOptions())) == ["loss", "ap", "ap50", "ap75"]
    assert "ar100" in task.on_line(metrics, task.EvalOptions(monitor="ar100"))
    other = ImageClassification()
    assert other.on_line(metrics, other.EvalOptions()) == metrics


def test_eval_has_a_row_for_each_class_and_draws_the_worst_images(run, tmp_path):
    drawn = tmp_path / "worst"
    drawn.mkdir()
    for name in ("0002.png", "0003.png"):  # of an earlier evaluation
        (drawn / name).write_bytes(b"")
    answers = tmp_path / "answers.jsonl"
    result, lines = evaluate(run, worst=2, out=drawn, predictions=answers)
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(rows) == result["examples"]
    counts = Counter(one["label"] for row in rows for one in row["objects"])
    assert counts == {row["class"]: row["instances"] for row in result["classes"]}
    assert set(rows[0]) == {"image", "objects", "detections"}
    assert [row["class"] for row in result["classes"]] == ["circle", "square", "star", "triangle"]
    assert lines[0].split()[:3] == ["class", "images", "instances"]
    assert [one["picture"] for one in result["worst"]] == [
        str(drawn / name) for name in ("0001.png", "0002.png")
    ]
    assert result["worst"][0]["missed"] >= result["worst"][1]["missed"] > 0
    assert sorted(path.name for path in drawn.iterdir()) == ["0001.png", "0002.png"]


def test_evaluations_of_many_images_are_compiled_unless_scipy_matches_their_objects(run):
    trained = load_trained(run)
    assert trained.is_worth_compiling(1000)
    matched = resolve(catalog.config_path("detect_shapes_transformer"), []).config
    assert not dataclasses.replace(trained, config=matched).is_worth_compiling(1000)


def test_a_folder_is_answered_in_order_and_drawn(run, folder, tmp_path):
    ended = attnzoo("predict", str(run), str(folder), "--json", "--out", str(tmp_path), *LOW)
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert [answer["image"] for answer in answers] == [str(folder / name) for name in IMAGES]
    assert all(len(answer["detections"]) > 5 for answer in answers)
    scores = [one["score"] for one in answers[0]["detections"]]
    assert scores == sorted(scores, reverse=True)
    drawn = ["a.png", "a_2.png", "a_2_2.png", "b.png"]  # none over another one
    assert sorted(path.name for path in tmp_path.iterdir()) == drawn


def test_a_pattern_and_files_are_answered_once_each_with_the_numbers_of_the_request(run, folder):
    inputs = (f"{folder}/*", f"{folder}/more", str(folder / IMAGES[-1]))
    ended = attnzoo("predict", str(run), *inputs, "--csv", "--max-detections", "3", *LOW)
    header, *rows = csv.reader(io.StringIO(ended.out))
    assert header == ["image", "label", "score", "left", "top", "right", "bottom", "error"]
    assert [row[0] for row in rows] == [str(folder / name) for name in IMAGES for _ in range(3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("predict", "{text}", "x.txt", "--threshold", "0.5"),
            "text_classification; --threshold is only for detection.",
        ),
        (("predict", "{text}", "x.txt", "--out", "out"), "--out out: a folder, which is for pictures of det"),
        (("predict", "{run}", "x.txt", "--top", "3"), "a run of detection; --top is only for image_classif"),
        (("predict", "{run}", "a.png", "--id", "key"), "a.png: image files, not a list of them; remove --id"),
        (("eval", "{text}", "--worst", "3", "--out", "x"), "text_classification; --out is only for detec"),
        (("eval", "{run}", "--predictions", "x.txt"), "x.txt: expected a name that ends in .csv or .jsonl"),
        (("eval", "{run}", "--predictions", "no/x.csv"), "no/x.csv: expected a file in an existing folder"),
        (("eval", "{run}", "--out", "x"), "--out is the folder for the pictures of --worst: add it"),
        (("predict", "{run}", "x.txt", "y.txt"), "y.txt: not found; check the path"),
        (("predict", "{run}", "x.txt", "--csv", "--json"), "--csv and --json"),
    ],
)
def test_options_of_other_tasks_are_refused_in_one_line(runs, run, empty_folder, arguments, message):
    (empty_folder / "x.txt").write_text("guten morgen\n")
    (empty_folder / "a.png").write_bytes(b"")
    filled = [one.format(text=runs["text"], run=run) for one in arguments]
    ended = attnzoo(*filled, folder=empty_folder)
    assert ended.code == 2
    assert re.fullmatch(rf"attnzoo: error: .*{re.escape(message)}.*\n", ended.err)


def test_a_table_of_answers_is_printed_for_other_tasks_too(runs, empty_folder):
    (empty_folder / "x.txt").write_text("guten morgen\nhello friend\n")
    ended = attnzoo("predict", str(runs["text"]), "x.txt", "--csv", folder=empty_folder)
    header, *rows = csv.reader(io.StringIO(ended.out))
    assert header[:2] == ["label", "probability"]
    assert len(rows) == 2


def test_attention_is_shown_for_each_detection_of_examples(run):
    explanation = Explanation(run)
    maps = explanation.explain_examples("test", 2)
    assert len(maps) == 2
    assert all(one.truth is not None for one in maps)


def test_a_detector_does_not_differ_from_itself(run):
    (first, same), signature = comparison.compare([run, run])
    assert (first.metric, first.p_value, same.p_value) == ("ap", None, 1.0)
    assert signature.startswith("ap of 12 images")


def test_runs_on_other_images_are_not_compared(run, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    config = (other / "config.yaml").read_text()
    assert "examples: 48" in config
    (other / "config.yaml").write_text(config.replace("examples: 48", "examples: 40"))
    with pytest.raises(UserError, match="its test split differs"):
        comparison.compare([run, other])


@pytest.mark.slow
def test_an_export_is_verified_and_describes_itself(run, tmp_path):
    folder = export(run, tmp_path / "served")
    notes = json.loads((folder / "export.json").read_text())
    assert notes["labels"] == ["circle", "square", "star", "triangle"]
    assert notes["score_threshold"] == 0.25
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    image = tf.io.encode_png(np.zeros((20, 40, 3), np.uint8)).numpy()
    outputs = serve(image=tf.constant([image]))
    assert outputs["boxes"].shape == (1, 100, 4)
    assert outputs["sizes"].numpy().tolist() == [[20, 40]]
