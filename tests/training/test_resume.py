"""A run that was interrupted ends as if it had not been."""

import itertools
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo.errors import EXIT_STOPPED
from attnzoo.run_dir import RunDir
from attnzoo.tasks.scoring import Evaluator
from attnzoo.training.loop import Stopped, Trainer
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes
from tests.training.interrupted import crash, outcome, without_xla

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
CELLS = [
    pytest.param(
        [
            f"train.optimizer={optimizer}",
            f"train.precision={precision}",
            f"train.ema={ema}",
            f"train.accumulate={accumulate}",
            "train.xla=false",
        ],
        id=f"{optimizer}-{precision}-{ema}-{accumulate}",
        # One cell with everything in it stands for all in the default suite.
        marks=[]
        if (optimizer, precision, ema, accumulate) == ("adamw", PRECISIONS[2], 0.9, 4)
        else pytest.mark.slow,
    )
    for optimizer, precision, ema, accumulate in itertools.product(
        OPTIMIZERS, PRECISIONS, ("null", 0.9), (1, 4)
    )
]


def check_crashes(make, folder, monkeypatch, overrides):
    """Three crashes after 1, 3 and 2 steps more."""
    resolved = make(folder, "train.checkpoint_seconds=0", "train.epochs=5", *overrides)
    train(resolved, folder / "whole")
    for step in (1, 3, 2):
        crash(resolved, folder / "crashed", monkeypatch, step)
    train(resolved, folder / "crashed")
    assert outcome(folder / "crashed") == outcome(folder / "whole")


@pytest.mark.parametrize("overrides", CELLS)
def test_a6_crashes_end_bit_identical_whatever_is_combined(tmp_path, monkeypatch, overrides):
    check_crashes(recipes.text_config, tmp_path, monkeypatch, overrides)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["train.ema=0.9", "train.schedule=plateau", "train.schedule_patience=1"],
        ["train.accumulate=3", "eval.every=4", "train.optimizer=lamb"],
        ["train.precision=mixed_float16", "eval.weights=average", "eval.every=3"],
        ["train.replicas=2", "train.optimizer=lion"],
    ],
    ids=["ema", "accumulate", "float16", "replicas"],
)
def test_a6_crashes_of_compiled_and_spread_steps_end_bit_identical(tmp_path, monkeypatch, overrides):
    check_crashes(recipes.text_config, tmp_path, monkeypatch, overrides)


@pytest.mark.slow
@pytest.mark.parametrize("make", [recipes.image_config, recipes.translation_config])
def test_a6_crashes_with_augmentation_and_with_buckets_end_bit_identical(tmp_path, monkeypatch, make):
    check_crashes(make, tmp_path, monkeypatch, ["train.xla=false"])


SCRIPT = [0.5, 0.6, 0.55, 0.58, 0.7, 0.7, 0.6, 0.65, 0.1, 0.9, 0.9, 0.9]
"""Accuracies by epoch: the rate falls after the fourth and the seventh, the fifth is best, the ninth the last."""


@pytest.mark.parametrize("crashes", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a7_best_early_stopping_and_plateau_survive_crashes(tmp_path, monkeypatch, crashes):
    plateau = ["train.schedule=plateau", "train.schedule_patience=2", "train.schedule_factor=0.5"]
    resolved = without_xla(tmp_path, "train.epochs=12", "train.early_stopping=4", *plateau)
    note = Trainer._note_result

    def scripted(self, value):
        return note(self, SCRIPT[self.progress.step // self.steps_an_epoch - 1])

    monkeypatch.setattr(Trainer, "_note_result", scripted)
    train(resolved, tmp_path / "whole")
    for number in range(crashes):
        crash(resolved, tmp_path / "crashed", monkeypatch, 34 // crashes - number % 2)
    train(resolved, tmp_path / "crashed")
    assert outcome(tmp_path / "crashed") == outcome(tmp_path / "whole")
    result = json.loads((tmp_path / "crashed" / "result.json").read_text())
    assert (result["steps"], result["weights"]) == (36, "step 20")
    lines = [json.loads(line) for line in RunDir(tmp_path / "crashed").metrics.read_text().splitlines()]
    rates = [line["optimizer/learning_rate"] for line in lines if line["split"] == "train"]
    assert [rate for rate, _ in itertools.groupby(np.round(rates, 5))] == [0.01, 0.005, 0.0025]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_continues(tmp_path, monkeypatch, number):
    resolved = recipes.text_config(tmp_path, "train.xla=false")
    take = Stepper.step

    def signalled(self, batches, learning_rate):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # a second one changes nothing
        return take(self, batches, learning_rate)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "step", signalled)
        with pytest.raises(
            Stopped, match="stopped on request after step 1; the same command continues"
        ) as caught:
            train(resolved, tmp_path / "run")
    assert caught.value.exit_code == EXIT_STOPPED
    assert RunDir(tmp_path / "run").steps() == [1]
    train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "whole")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a12_a_stop_during_an_evaluation_loses_nothing(tmp_path, monkeypatch):
    resolved = without_xla(tmp_path, "train.epochs=2")
    sums = Evaluator.evaluate

    def signalled(self, examples, before_batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return sums(self, examples, before_batch)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", signalled)
        with pytest.raises(Stopped):
            train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "whole")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a5_every_example_is_seen_once_an_epoch_across_crashes(tmp_path, monkeypatch):
    resolved = without_xla(tmp_path, "train.batch_size=7", "train.accumulate=2")
    take, seen = Stepper.step, []

    def noted(self, batches, learning_rate):
        real = [targets["indices"][targets["weights"] > 0].numpy().tolist() for _, targets in batches]
        seen.append([index for part in real for index in part])
        return take(self, batches, learning_rate)

    monkeypatch.setattr(Stepper, "step", noted)
    train(resolved, tmp_path / "whole")
    whole, seen[:] = list(seen), []
    for step in (2, 4):
        crash(resolved, tmp_path / "run", monkeypatch, step)
    train(resolved, tmp_path / "run")
    assert seen == whole
    steps_an_epoch = len(whole) // 3
    for epoch in range(3):
        indices = [index for step in whole[epoch * steps_an_epoch :][:steps_an_epoch] for index in step]
        assert sorted(indices) == list(range(59))


def test_a19_logs_of_a_resumed_run_have_each_step_once(tmp_path, monkeypatch):
    resolved = without_xla(tmp_path)
    for step in (3, 5):
        crash(resolved, tmp_path / "run", monkeypatch, step)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"split": "train", "st')  # what a kill leaves of a line
    train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "whole")

    def curve(folder):
        events = EventAccumulator(str(folder / "logs" / "train"))
        events.Reload()
        return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("loss")]

    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    steps = [step for step, _ in curve(tmp_path / "run")]
    assert steps == sorted(set(steps))
    assert len(steps) > 3
