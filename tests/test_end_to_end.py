"""Each task from its config to an export, as a user runs it."""

import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo import evaluation
from attnzoo.data import pipeline
from attnzoo.data.examples import encode_split
from attnzoo.errors import UserError
from attnzoo.export import export, raw_inputs
from attnzoo.features.text import Text
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits
from attnzoo.runs.folder import RunDir
from attnzoo.runs.trained import load_trained
from attnzoo.tasks.classification_metrics import apply_temperature
from attnzoo.tasks.evaluating import Evaluator, evaluation_batches
from attnzoo.training import distribution
from attnzoo.training.run import train
from tests import recipes
from tests.thinned import thinned
from tests.trees import tree

CONFIGS = {
    "text": recipes.text_config,
    "image": recipes.image_config,
    "translation": recipes.translation_config,
}


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", CONFIGS)
def test_training_lowers_the_loss_and_leaves_a_complete_run(runs, name):
    losses = [line["loss"] for line in lines_of(runs[name]) if line["split"] == "train"]
    assert losses[-1] < losses[0]
    result = json.loads((runs[name] / "result.json").read_text())
    assert result["split"] == "test"
    assert all(isinstance(value, str) or math.isfinite(value) for value in result["metrics"].values())
    for path in (
        "config.yaml",
        "info.json",
        "run.json",
        "checkpoints/final",
        "logs/train",
        "logs/validation",
    ):
        assert (runs[name] / path).exists()


@pytest.mark.parametrize("name", ["text", "image", pytest.param("translation", marks=pytest.mark.slow)])
def test_eval_repeats_the_metrics_of_the_end_of_training(runs, name):
    result = json.loads((runs[name] / "result.json").read_text())
    again, _ = evaluation.evaluate(runs[name], "test")
    more = {
        "text": {"classes", "labels", "confusion_matrix", "truncated_fraction"},
        "image": {"classes", "labels", "confusion_matrix"},
        "translation": {"truncated_fraction", "references"},
    }[name]
    assert set(again) == {"run", "split", "weights", "examples", "metrics", "seconds"} | more
    assert again["examples"] == result["examples"]
    for key, value in result["metrics"].items():
        assert again["metrics"][key] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-4))


def numpy_metrics(trained, examples):
    """Loss and accuracy from the logits of each example alone, in float64."""
    losses, right = [], []
    one = pipeline.BatchSizes(1, None, 1)
    for inputs, targets in evaluation_batches(trained.task, examples, trained.info, one):
        logits = trained.model(trained.info.model_inputs(inputs), training=False).numpy().astype(np.float64)
        wanted = targets.get("tokens", targets.get("labels")).numpy()
        if "tokens" in targets:
            logits, wanted = logits[wanted > 0], wanted[wanted > 0]
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        losses += [-row[label] for row, label in zip(log_probabilities, wanted, strict=True)]
        right += (logits.argmax(axis=-1) == wanted).tolist()
    return np.mean(losses), np.mean(right)


@pytest.mark.parametrize(
    ("name", "replicas"),
    [
        ("text", 2),
        ("image", 1),
        *(
            pytest.param(name, replicas, marks=pytest.mark.slow)
            for name, replicas in (("text", 1), ("image", 2), ("translation", 1), ("translation", 2))
        ),
    ],
)
def test_e6_eval_equals_numpy_with_an_uneven_last_batch_on_one_replica_and_two(runs, name, replicas):
    trained = load_trained(runs[name])
    split = load_splits(trained.config).named()["test"]
    examples = encode_split(split, trained.info)
    expected = numpy_metrics(trained, examples)
    strategy = distribution.make_strategy(replicas)
    model = build_model(trained.config, trained.info, strategy)
    model.set_weights(trained.model.get_weights())
    sizes = pipeline.BatchSizes(4, None, replicas)
    assert len(examples) % 4 != 0
    options, xla = trained.config.eval, replicas == 1
    evaluator = Evaluator(model, trained.task, trained.info, sizes, options, strategy, xla=xla)
    metrics = evaluator.evaluate(examples)
    for value, key in zip(
        expected, ("loss", "token_accuracy" if name == "translation" else "accuracy"), strict=True
    ):
        assert metrics[key] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", thinned(["image", "text", "translation"], 3))
def test_an_export_answers_raw_input_like_the_run(runs, name):
    folder = export(runs[name])
    trained = load_trained(runs[name])
    inputs = tf.constant(raw_inputs(trained, 5))
    module = trained.task.serving_module(trained.prediction_model, trained.info, trained.config.eval)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (argument,) = signature.structured_input_signature[1]
    assert signature.structured_input_signature[1][argument].dtype == tf.string
    answers = signature(**{argument: inputs})
    assert {len(part) for part in signature(**{argument: inputs[:0]}).values()} == {0}
    for key, value in module.signatures()["serving_default"](inputs).items():
        if value.dtype == tf.string:
            assert answers[key].numpy().tolist() == value.numpy().tolist()
        else:
            np.testing.assert_allclose(answers[key], value, atol=1e-5)
    description = json.loads((folder / "export.json").read_text())
    assert description["signatures"]["serving_default"]["inputs"] == {argument: "string"}
    assert description.get("calibrated", False) is (name == "image")
    if name == "image":
        raw = trained.task.serving_module(trained.model, trained.info, trained.config.eval)
        probabilities = raw.signatures()["serving_default"](inputs)["probabilities"].numpy()
        expected = apply_temperature(probabilities, trained.calibration["temperature"])
        np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-4)


@pytest.mark.parametrize(
    "text", ["", "\ud55c\uad6d\uc5b4 \U0001f600", "x " * 50_000], ids=["empty", "emoji", "long"]
)
def test_a_served_classifier_takes_any_text(runs, text):
    trained = load_trained(runs["text"])
    module = trained.task.serving_module(trained.model, trained.info, trained.config.eval)
    serve = module.signatures()["serving_default"]
    answer = serve(tf.constant([text.encode("utf-8"), b"\xff\xfe hello"]))
    assert np.isfinite(answer["probabilities"]).all()


def test_a_served_translator_takes_empty_text(runs):
    trained = load_trained(runs["translation"])
    module = trained.task.serving_module(trained.model, trained.info, trained.config.eval)
    serve = module.signatures()["serving_default"]
    assert serve(tf.constant(["", "abc"]))["translation"].shape == (2,)


def test_an_export_never_replaces_a_folder_that_is_none(runs, tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(UserError, match=r"exists and is not an export; choose another folder with --out"):
        export(runs["text"], tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("text", {"accuracy", "data/padding_fraction"}),
        ("image", {"accuracy"}),
        ("translation", {"token_accuracy", "perplexity", "data/padding_fraction"}),
    ],
)
def test_tensorboard_has_every_promised_tag(runs, name, more):
    tags = {}
    for split in ("train", "validation", "test"):
        accumulator = EventAccumulator(str(runs[name] / "logs" / split))
        accumulator.Reload()
        tags[split] = set(accumulator.Tags()["tensors"])
    assert tags["train"] >= more | {
        "loss",
        "optimizer/learning_rate",
        "optimizer/gradient_norm",
        "speed/targets_per_second",
        "speed/input_wait_fraction",
        "xla/compilations",
        "config",
    }
    assert tags["validation"] >= {"loss", "samples"} | {tag for tag in more if "/" not in tag}
    assert "loss" in tags["test"]
    assert "_hparams_/session_start_info" in tags["test"]  # beside the metrics, which are there once
    assert not [tag for tag in tags["test"] if tag.startswith("hparam/")]


def test_metrics_lines_hold_what_tensorboard_holds(runs):
    accumulator = EventAccumulator(str(runs["text"] / "logs" / "train"))
    accumulator.Reload()
    shown = [float(tf.make_ndarray(event.tensor_proto)) for event in accumulator.Tensors("loss")]
    written = [line["loss"] for line in lines_of(runs["text"]) if line["split"] == "train"]
    np.testing.assert_allclose(shown, written, rtol=1e-6)


def test_a_finished_run_is_left_as_it_is(runs, capsys):
    before = {path: path.stat().st_mtime_ns for path in runs["text"].rglob("*") if path.is_file()}
    train(recipes.text_config(runs["text"].parent), runs["text"])
    assert "already finished" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in runs["text"].rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {".lock"}


def test_a_changed_config_is_refused_by_its_keys(runs):
    changed = recipes.text_config(runs["text"].parent, "train.epochs=4", "seed=9")
    with pytest.raises(
        UserError, match=r"seed, train\.epochs changed since .*--run.*--restart.*--allow-changed seed"
    ):
        train(changed, runs["text"])


def test_a_missing_split_is_named(runs, tmp_path):
    shutil.copytree(runs["text"], tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    line = f'test: "{runs["text"].parent}/test.csv"'
    assert line in config.read_text()
    config.write_text(config.read_text().replace(line, "test: null"))
    with pytest.raises(UserError, match="the data has no split 'test'; it has train, validation"):
        evaluation.evaluate(tmp_path / "run", "test")
    result, _ = evaluation.evaluate(tmp_path / "run")
    assert result["split"] == "validation"


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"not a run folder \(it has no config\.yaml\)"):
        evaluation.evaluate(tmp_path)


def test_a_mistake_in_the_data_leaves_no_run_behind(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        train(recipes.text_config(tmp_path, f"data.train={tmp_path}/nowhere.csv"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(tmp_path, restart):
    folder = tmp_path / "mine"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "mine.txt").write_text("keep")
    (folder / "config.yaml").write_text("of: another program")
    before = tree(folder)
    with pytest.raises(UserError, match=r"mine: not empty, and not a run folder of attnzoo"):
        train(recipes.text_config(tmp_path), folder, restart=restart)
    assert tree(folder) == before


def test_restart_removes_what_a_run_wrote_and_nothing_else(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["text"], run)
    mine = ("notes.md", "logs/mine.txt", "logs/train/mine.txt", "checkpoints/mine/x", "checkpoints/final/x")
    for name in mine:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("keep")
    RunDir(run).clear()
    left = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert left - {".lock"} == set(mine)


@pytest.mark.slow
def test_a_profile_is_written_for_tensorboard(tmp_path):
    resolved = recipes.text_config(tmp_path, "train.xla=false", "train.epochs=1")
    train(resolved, tmp_path / "run", profile=(2, 99))
    assert list((tmp_path / "run" / "logs" / "train").rglob("*.xplane.pb"))


def test_texts_are_never_interpreted_as_names_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("not this")
    texts = [str(tmp_path / "a.txt"), "a long review. " * 500]
    assert Text().raw(np.array(texts, object)) == [text.encode() for text in texts]
