"""One run: one writer, one config, an early end."""

import json
import os
import re
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.config import resolve
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataWarning, UserError
from attnzoo.evaluation import evaluate
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text
from attnzoo.layers.batch_normalization import MapNormalization
from attnzoo.runs.data import load_task
from attnzoo.runs.folder import RunDir
from attnzoo.training import changes, distribution, feed
from attnzoo.training.loop import Trainer
from attnzoo.training.run import train, use_xla
from attnzoo.training.step import TrainStep
from tests import recipes
from tests.training.interrupted import crash, outcome, without_xla


def test_a13_a_second_writer_is_refused(tmp_path):
    run = RunDir(tmp_path / "run")
    with run.lock(), pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training here"):
        train(recipes.text_config(tmp_path), tmp_path / "run")


CHANGES = {
    "data.num_buckets": 2,
    "model.units": 32,
    "train.batch_size": 8,
    "train.optimizer": "sgd",
    "train.precision": "mixed_bfloat16",
}
UNFIT = {
    **dict.fromkeys(("model.units", "train.optimizer"), "its checkpoint does not fit"),
    "data.num_buckets": "so data.num_buckets would have no effect",
}
"""Key with which the run cannot continue -> why."""


def test_a14_every_changed_key_is_named_and_refused_by_itself(tmp_path, monkeypatch):
    crash(without_xla(tmp_path), tmp_path / "run", monkeypatch, 1)
    for key, value in CHANGES.items():
        with pytest.raises(
            UserError, match=rf"run: {re.escape(key)} changed since the run started; "
        ) as caught:
            train(without_xla(tmp_path, f"{key}={value}"), tmp_path / "run")
        assert caught.value.exit_code == 2
        assert (f"--allow-changed {key}" in str(caught.value)) == (key not in UNFIT), str(caught.value)
        assert ("the run cannot continue: " in str(caught.value)) == (key in UNFIT)
        assert UNFIT.get(key, "") in str(caught.value)
    resolved = without_xla(tmp_path, *(f"{key}={value}" for key, value in CHANGES.items()))
    with pytest.raises(UserError, match=re.escape(", ".join(sorted(CHANGES)))):
        train(resolved, tmp_path / "run")
    resolved = without_xla(tmp_path)
    table = tmp_path / "test.csv"
    table.write_text(table.read_text() + "good evening,en\n")
    with pytest.raises(UserError, match="run: data changed since the run started; "):
        train(resolved, tmp_path / "run")


def test_a14_allowed_changes_continue_and_others_are_refused(tmp_path, capsys):
    train(without_xla(tmp_path, "train.epochs=1", "train.schedule=cosine"), tmp_path / "run")
    assert "learning rate" not in capsys.readouterr().err
    changed = without_xla(tmp_path, "train.epochs=2", "train.schedule=cosine", "train.learning_rate=9e-3")
    with pytest.raises(UserError, match=r"train\.learning_rate changed since the run started"):
        train(changed, tmp_path / "run", allowed=["train.epochs"])
    train(changed, tmp_path / "run", allowed=["train.epochs", "train.learning_rate"])
    printed = capsys.readouterr().err
    assert "continuing after step 4 although train.epochs has changed" in printed
    jump = (
        r"the learning rate jumps from 0\.00146 \(step 4\) to 0\.0045 \(step 5\): the schedule is cosine "
        r"over 8 steps from 0\.009 now"
    )
    assert len(re.findall(jump, printed)) == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 8
    machine = RunDir(tmp_path / "run").machine
    machine.write_text(machine.read_text().replace('"source": "', '"source": "0'))
    with pytest.raises(UserError, match=r"code changed since .*--allow-changed code"):
        train(changed, tmp_path / "run")


def test_weights_that_a_run_was_started_without_are_no_change_that_can_be_allowed():
    column = np.zeros(2, np.float64)
    splits = DataSplits(Split({"text": column, "label": column, "weight": column}, "train.csv"), None, None)
    info = DataInfo("text_classification", {"text": Text(), "label": Label()})
    difference = changes.data_difference(info, splits, tasks.load("text_classification"))
    assert difference == "it was started without weight in its data"


def test_a14_every_key_is_offered_at_once_and_only_where_that_can_work(tmp_path, monkeypatch):
    crash(without_xla(tmp_path), tmp_path / "run", monkeypatch, 1)
    table = tmp_path / "test.csv"
    table.write_text(table.read_text() + "good evening,en\n")
    several = without_xla(tmp_path, "train.epochs=2", "train.batch_size=8")
    (tmp_path / "test.csv").write_text(table.read_text() + "good evening,en\n")
    options = [f"--allow-changed {key}" for key in ("train.epochs", "train.batch_size", "data")]
    with pytest.raises(UserError, match=re.escape(f"continue with {' '.join(options)}.")):
        train(several, tmp_path / "run", allowed=["train.epochs"])
    for override, why in (
        ("data.tokenizer=characters", "so data.tokenizer would have no effect"),
        (f"data.test={tmp_path}/nowhere.csv", "nowhere.csv: not found"),
        ("model.name=text_regressor", "it is a run of text_classification"),
    ):
        with pytest.raises(UserError, match=rf"the run cannot continue: .*({why})") as caught:
            train(without_xla(tmp_path, override), tmp_path / "run")
        assert "--allow-changed" not in str(caught.value)


def test_a14_data_that_has_moved_with_equal_bytes_continues_with_one_flag(tmp_path, monkeypatch, capsys):
    options = ("train.xla=false", "train.checkpoint_seconds=0", "eval.samples=0", "train.epochs=2")
    crash(recipes.image_config(tmp_path, *options), tmp_path / "run", monkeypatch, 2)
    moved = [f"data.{name}={tmp_path}/elsewhere/{name}" for name in ("train", "test")]
    for name in ("train", "test"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    resolved = resolve(tmp_path / "light.yaml", [*options, *moved])
    with pytest.raises(
        UserError, match=r"data\.test, data\.train changed .* continue with --allow-changed paths\.$"
    ):
        train(resolved, tmp_path / "run")
    image = tmp_path / "elsewhere/train/dark/0.png"
    data = image.read_bytes()
    image.write_bytes(data + b"x")
    with pytest.raises(UserError, match=r"data changed .* --allow-changed paths --allow-changed data\.$"):
        train(resolved, tmp_path / "run", allowed=["paths"])
    image.write_bytes(data)
    train(resolved, tmp_path / "run", allowed=["paths"])
    assert "continuing after step 2 although data.train has changed" in capsys.readouterr().err
    assert RunDir(tmp_path / "run").read_config().data.train == f"{tmp_path}/elsewhere/train"


def test_an_unfinished_run_is_reported_with_the_weights_it_uses(tmp_path, monkeypatch):
    crash(without_xla(tmp_path, "eval.every=2"), tmp_path / "run", monkeypatch, 5)
    with pytest.warns(DataWarning, match=r"unfinished run; using the weights of step 4\. `attnzoo train`"):
        result, _ = evaluate(tmp_path / "run", "validation")
    assert result["weights"] == "step 4"


def test_early_stopping_counts_evaluations_without_a_better_one(tmp_path, capsys):
    resolved = without_xla(
        tmp_path, "train.epochs=30", "train.early_stopping_patience=2", "train.learning_rate=1e-9"
    )
    train(resolved, tmp_path / "run")
    assert "stopped early" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["split"] == "validation" for line in lines) < 30


@pytest.mark.parametrize(
    ("recipe", "option", "compiled"),
    [
        ("text_languages", "auto", True),
        ("image_digits", "auto", False),
        ("image_digits", "true", True),
        ("text_languages", "false", False),
    ],
)
def test_xla_is_chosen_for_texts_and_not_for_images_on_a_cpu(recipe, option, compiled, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    config = resolve(Path("configs") / f"{recipe}.yaml", [f"train.xla={option}"]).config
    assert use_xla(config, load_task(config), keras.Sequential()) is compiled


@pytest.mark.parametrize(
    ("precision", "able", "compiled"),
    [
        ("mixed_bfloat16", True, False),
        ("mixed_bfloat16", False, True),
        ("float32", True, True),
    ],
)
def test_xla_is_not_chosen_for_bfloat16_where_a_cpu_multiplies_it(precision, able, compiled, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(distribution, "multiplies_bfloat16", lambda: able)
    config = resolve(Path("configs/text_languages.yaml"), [f"train.precision={precision}"]).config
    assert use_xla(config, load_task(config), keras.Sequential()) is compiled


def test_several_replicas_are_not_compiled_and_cannot_be_on_one_cpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])

    def chosen(option):
        overrides = ["train.replicas=2", f"train.xla={option}"]
        config = resolve(Path("configs/text_languages.yaml"), overrides).config
        return use_xla(config, load_task(config), keras.Sequential())

    assert chosen("auto") is False
    with pytest.raises(
        UserError, match=r"train\.xla: true is not supported with several train\.replicas on a CPU"
    ):
        chosen("true")


WITHOUT_XLA = (
    "attnzoo: warning: train.xla: true is not used with train.replicas: 2: image_classifier has batch "
    "normalization, whose statistics replicas cannot exchange from within a program of XLA."
)


@pytest.mark.parametrize(
    ("recipe", "replicas", "layers", "compiled"),
    [
        ("text_languages", 2, [], True),
        ("image_digits", 2, [], True),
        ("image_digits", 2, [MapNormalization()], False),
        ("image_digits", 1, [MapNormalization()], True),
    ],
)
def test_several_gpus_are_compiled_but_for_batch_statistics_which_is_said_where_xla_is_asked_for(
    recipe, replicas, layers, compiled, monkeypatch, capsys
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    model = keras.Sequential(layers)
    for option in ("auto", "true"):
        overrides = [f"train.replicas={replicas}", f"train.xla={option}"]
        config = resolve(Path("configs") / f"{recipe}.yaml", overrides).config
        assert use_xla(config, load_task(config), model) is compiled
    lines = capsys.readouterr().err.splitlines()
    assert lines == ([] if compiled else [WITHOUT_XLA])


SEVERAL = {
    "plain": (),
    "accumulated": ("train.gradient_accumulation_steps=3", "data.num_buckets=2", "train.batch_size=4"),
    "float16": ("train.precision=mixed_float16",),
}


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("case", SEVERAL)
def test_calls_of_several_steps_leave_the_same_run_also_after_a_crash(
    tmp_path, monkeypatch, capsys, case, overlap
):
    calls, take = [], TrainStep.steps

    def counted(self, groups, rates):
        calls.append(len(groups))
        return take(self, groups, rates)

    monkeypatch.setattr(TrainStep, "steps", counted)
    options = (*SEVERAL[case], "train.steps=11", "train.log_every=5", "eval.every=7")
    train(without_xla(tmp_path, *options), tmp_path / "one")
    assert calls == [1] * 11
    calls.clear()
    assert "steps_per_call" not in capsys.readouterr().err
    monkeypatch.setattr(distribution, "steps_overlap_input", lambda: overlap)
    monkeypatch.setattr(feed, "CALLS_BEFORE_TRACING", 0)
    several = without_xla(tmp_path, *options, "train.steps_per_call=32")
    train(several, tmp_path / "several")
    assert sum(calls) == 11
    assert max(calls) > 1
    assert "train.steps_per_call: 32: calls take at most " in capsys.readouterr().err
    crash(several, tmp_path / "crashed", monkeypatch, 6)
    train(several, tmp_path / "crashed")
    assert outcome(tmp_path / "several") == outcome(tmp_path / "one")
    assert outcome(tmp_path / "crashed") == outcome(tmp_path / "one")


@pytest.mark.slow
def test_reading_ahead_counts_as_waiting_and_ends_with_the_last_step(tmp_path, monkeypatch):
    read = Trainer._batches

    def slow(self):
        for _, batch in zip(range(6), read(self), strict=False):
            time.sleep(0.5)
            yield batch
        raise AssertionError("read beyond the last step")

    monkeypatch.setattr(Trainer, "_batches", slow)
    monkeypatch.setattr(distribution, "steps_overlap_input", lambda: True)
    resolved = without_xla(tmp_path, "train.steps=6", "train.log_every=2", "train.steps_per_call=2")
    train(resolved, tmp_path / "run")
    lines = [json.loads(line) for line in RunDir(tmp_path / "run").metrics.read_text().splitlines()]
    assert lines[-1]["step"] == 6
    waited = [line["speed/input_wait_fraction"] for line in lines if line["split"] == "train"]
    assert waited[1] > 0.5
    assert max(waited) <= 1.0
