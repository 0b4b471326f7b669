"""A run that was interrupted ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo.errors import EXIT_STOPPED
from attnzoo.run_dir import RunDir
from attnzoo.tasks.scoring import Evaluator
from attnzoo.training.loop import Stopped
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes
from tests.training.interrupted import Crash, crash, crash_at, outcome, without_xla


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.ema=0.9", "train.schedule=plateau", "train.schedule_patience=1"],
        ["train.accumulate=3", "eval.every=4", "train.optimizer=lamb", "train.xla=false"],
        ["train.precision=mixed_float16", "train.xla=false", "eval.weights=average", "eval.every=3"],
    ],
    ids=["ema", "accumulate", "float16"],
)
def test_crashes_anywhere_end_bit_identical(tmp_path, monkeypatch, overrides):
    resolved = recipes.text_config(tmp_path, "train.epochs=5", "train.checkpoint_seconds=0", *overrides)
    train(resolved, tmp_path / "whole")
    for step in (1, 3, 2):
        with monkeypatch.context() as patch:
            crash_at(patch, step)
            with pytest.raises(Crash):
                train(resolved, tmp_path / "crashed")
    train(resolved, tmp_path / "crashed")
    assert outcome(tmp_path / "crashed") == outcome(tmp_path / "whole")


def test_image_runs_with_augmentation_resume_bit_identical(tmp_path, monkeypatch):
    resolved = recipes.image_config(tmp_path, "train.checkpoint_seconds=0")
    train(resolved, tmp_path / "whole")
    with monkeypatch.context() as patch:
        crash_at(patch, 5)
        with pytest.raises(Crash):
            train(resolved, tmp_path / "crashed")
    train(resolved, tmp_path / "crashed")
    assert outcome(tmp_path / "crashed") == outcome(tmp_path / "whole")


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


def test_kill_minus_nine_loses_nothing_that_was_saved(tmp_path):
    resolved = recipes.text_config(tmp_path, "train.epochs=15", "train.xla=false")
    config = tmp_path / "long.yaml"
    config.write_text(resolved.to_yaml(), "utf-8")
    command = [sys.executable, "-m", "attnzoo", "train", str(config), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    run = RunDir(tmp_path / "run")
    while not run.steps():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not run.result.exists()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "(continues after step" in finished.stdout
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
