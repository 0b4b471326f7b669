"""A run that was interrupted ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
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
from tests.training import processes
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


@pytest.mark.parametrize(
    "kills", [pytest.param(20, id="20"), pytest.param(200, id="200", marks=pytest.mark.slow)]
)
def test_a1_a12_runs_that_are_killed_at_random_end_bit_identical(tmp_path, kills):
    """Every third time by SIGTERM, which exits with 75; else by SIGKILL."""
    resolved = without_xla(tmp_path, "train.epochs=4")
    config = tmp_path / "killed.yaml"
    config.write_text(resolved.to_yaml(), "utf-8")

    def command(folder):
        return processes.start(["train", config, "--run", folder], tmp_path / "log")

    begin = time.monotonic()
    whole = command(tmp_path / "whole")
    whole.join(120)
    lasts = time.monotonic() - begin
    assert whole.exitcode == 0, (tmp_path / "log").read_text()
    generator = np.random.default_rng(11)
    done = runs = 0
    while done < kills:
        folder = tmp_path / f"run{runs}"
        runs += 1
        finished = False
        while not finished:
            process = command(folder)
            process.join(generator.uniform(0.0, lasts) if done < kills else 120)
            finished = process.exitcode is not None
            if finished:
                assert process.exitcode == 0, (tmp_path / "log").read_text()
                continue
            term = done % 3 == 2
            os.kill(process.pid, signal.SIGTERM if term else signal.SIGKILL)
            process.join(30)
            allowed = (0, EXIT_STOPPED, -signal.SIGTERM) if term else (-signal.SIGKILL,)
            assert process.exitcode in allowed, (tmp_path / "log").read_text()
            finished = process.exitcode == 0
            done += 1
        assert outcome(folder) == outcome(tmp_path / "whole")
    assert "Traceback" not in (tmp_path / "log").read_text()


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


def test_a15_a_seed_decides_every_weight(tmp_path):
    config = without_xla(tmp_path, "train.epochs=1").to_yaml()
    path = tmp_path / "seeded.yaml"
    path.write_text(config, "utf-8")
    hashes = []
    for number, seed in enumerate([3, 3, 4]):
        command = ["train", path, "--run", tmp_path / str(number), "--set", f"seed={seed}"]
        process = processes.start(command, tmp_path / "log")
        process.join(120)
        assert process.exitcode == 0, (tmp_path / "log").read_text()
        hashes.append(outcome(tmp_path / str(number))[0])
    assert hashes[0] == hashes[1] != hashes[2]
