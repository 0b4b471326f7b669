"""A run that was interrupted ends as if it had not been."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from attnzoo.errors import EXIT_STOPPED, UserError
from attnzoo.run_dir import RunDir
from attnzoo.tensors import read_tensors
from attnzoo.training import checkpoint
from attnzoo.training.loop import Stopped
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes

CLOCKS = ("speed/", "xla/")


class Crash(Exception):
    """Stands for a power cut."""


def crash_at(monkeypatch, step):
    """The process ends inside the step after `step`."""
    take, taken = Stepper.step, []

    def counted(self, batches, learning_rate):
        taken.append(1)
        if len(taken) > step:
            raise Crash
        return take(self, batches, learning_rate)

    monkeypatch.setattr(Stepper, "step", counted)


def outcome(folder):
    """Hash of the final weights and of the last checkpoint, and the log without clocks."""
    run = RunDir(folder)
    weights = (run.final / "tensors.safetensors").read_bytes()
    last = (run.step(run.steps()[-1]) / "tensors.safetensors").read_bytes()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    kept = [{key: value for key, value in line.items() if not key.startswith(CLOCKS)} for line in lines]
    return hashlib.sha256(weights).hexdigest(), hashlib.sha256(last).hexdigest(), kept


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


def test_a_second_writer_is_refused(tmp_path):
    run = RunDir(tmp_path / "run")
    with run.lock(), pytest.raises(UserError, match=rf"process {os.getpid()} is training here; wait for it"):
        train(recipes.text_config(tmp_path), tmp_path / "run")


def test_a_diverged_run_stops_with_its_step_and_examples(tmp_path):
    resolved = recipes.text_config(
        tmp_path, "train.xla=false", "train.learning_rate=1e30", "train.optimizer=sgd"
    )
    with pytest.raises(
        UserError, match=r"diverged: .* at step \d+ \(train examples \d+, .*learning_rate"
    ) as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 3


def test_early_stopping_counts_evaluations_without_a_better_one(tmp_path, capsys):
    resolved = recipes.text_config(
        tmp_path, "train.xla=false", "train.epochs=30", "train.early_stopping=2", "train.learning_rate=1e-9"
    )
    train(resolved, tmp_path / "run")
    assert "stopped early" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["split"] == "validation" for line in lines) < 30


def test_average_is_the_mean_of_the_last_evaluations(tmp_path):

    resolved = recipes.text_config(
        tmp_path, "train.xla=false", "train.epochs=4", "eval.weights=average", "eval.average=3"
    )
    train(resolved, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    kept = [read_tensors(run.weights(step))[0] for step in run.evaluated_steps()[-3:]]
    final, state = read_tensors(run.final)
    assert state["weights"].startswith("average of steps")
    for name, value in final.items():
        assert abs(value - sum(part[name] for part in kept) / 3).max() < 1e-6


def test_old_checkpoints_and_weights_are_removed(tmp_path):
    train(recipes.text_config(tmp_path, "train.xla=false", "train.epochs=6"), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert len(run.steps()) == checkpoint.KEPT_STEPS
    assert len(run.evaluated_steps()) <= 2


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, monkeypatch):
    resolved = recipes.text_config(tmp_path, "train.xla=false", "train.checkpoint_seconds=0")
    with monkeypatch.context() as patch:
        crash_at(patch, 5)
        with pytest.raises(Crash):
            train(resolved, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    tensors = run.step(run.steps()[-1]) / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match="its checksum differs from manifest.json. Trying the one before"):
        train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "whole")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
