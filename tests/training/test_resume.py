"""A run that was interrupted ends as if it had not been."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from attnzoo.errors import EXIT_STOPPED, UserError
from attnzoo.run_dir import RunDir
from attnzoo.tasks.scoring import Evaluator
from attnzoo.tensors import MAX_JSON_BYTES, read_tensors, write_tensors
from attnzoo.training import checkpoint
from attnzoo.training.loop import Stopped
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes
from tests.training import processes

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


def without_xla(folder, *overrides):
    return recipes.text_config(folder, "train.xla=false", "train.checkpoint_seconds=0", *overrides)


def crash(resolved, folder, monkeypatch, step):
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            train(resolved, folder)


def every_tensor(run):
    folders = [path for path in run.checkpoints.iterdir() if path.is_dir()]
    assert folders
    return {(path.name, key): value for path in folders for key, value in read(path).items()}


def read(folder):
    return read_tensors(folder, MAX_JSON_BYTES)[0]


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


def test_a17_no_file_of_a_diverged_run_holds_what_is_not_finite(tmp_path):
    # Weights overflow in a step whose gradients were still finite.
    resolved = without_xla(tmp_path, "train.learning_rate=3e38", "train.optimizer=sgd", "train.log_every=100")
    with pytest.raises(UserError, match=r"diverged: .* step \d+") as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 3
    run = RunDir(tmp_path / "run")
    folders = [path for path in run.checkpoints.iterdir() if path.is_dir()]
    for folder in folders:
        assert all(np.isfinite(value).all() for value in read(folder).values()), folder


def test_a17_a_run_recovers_at_a_lower_rate_as_often_as_it_may(tmp_path, monkeypatch, capsys):
    resolved = without_xla(tmp_path, "train.recoveries=2")
    take = Stepper.step

    def poisoned(self, batches, learning_rate):
        # Above half the rate, the fourth step is not finite.
        if learning_rate > 6e-3 and int(self.optimizer.iterations) == 3:
            self.model.trainable_weights[0].assign(self.model.trainable_weights[0] * np.nan)
        return take(self, batches, learning_rate)

    monkeypatch.setattr(Stepper, "step", poisoned)
    train(resolved, tmp_path / "run")
    written = capsys.readouterr().err
    assert "Back to step 3 with half the learning rate, recovery 1 of 2." in written
    lines = [json.loads(line) for line in RunDir(tmp_path / "run").metrics.read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == sorted(set(steps))
    rates = {line["step"]: line["optimizer/learning_rate"] for line in lines if line["split"] == "train"}
    assert rates[2] == pytest.approx(1e-2)
    assert rates[max(rates)] == pytest.approx(5e-3)
    assert all(np.isfinite(value).all() for value in every_tensor(RunDir(tmp_path / "run")).values())


def test_a8_variables_that_do_not_fit_are_named_and_nothing_is_trained(tmp_path, monkeypatch):
    resolved = without_xla(tmp_path)
    crash(resolved, tmp_path / "run", monkeypatch, 2)
    run = RunDir(tmp_path / "run")
    values, state = read_tensors(run.step(2), MAX_JSON_BYTES)
    name = next(name for name, value in values.items() if value.ndim == 2)
    mutations = {
        f"missing '{name}'": {key: value for key, value in values.items() if key != name},
        f"unexpected '{name}x'": {**values, f"{name}x": values[name]},
        "unexpected 'average/more'": {**values, "average/more": values[name]},
        f"'{name}' has shape": {**values, name: values[name].T[:1]},
    }
    for message, mutated in mutations.items():
        write_tensors(run.step(2), mutated, state)
        with pytest.raises(UserError, match=re.escape(message)) as caught:
            train(resolved, tmp_path / "run")
        assert caught.value.exit_code == 4


def test_a9_all_checkpoints_damaged_is_one_error(tmp_path, monkeypatch, capsys):
    resolved = without_xla(tmp_path)
    crash(resolved, tmp_path / "run", monkeypatch, 3)
    run = RunDir(tmp_path / "run")
    for step in run.steps():
        (run.step(step) / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint is whole; start again with --restart") as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 4


def test_a11_a_folder_that_disappears_is_one_error(tmp_path, monkeypatch):
    take = Stepper.step

    def removing(self, batches, learning_rate):
        shutil.rmtree(tmp_path / "run")
        return take(self, batches, learning_rate)

    monkeypatch.setattr(Stepper, "step", removing)
    with pytest.raises(UserError, match=r"cannot be written.*No such file or directory") as caught:
        train(without_xla(tmp_path), tmp_path / "run")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "run").exists()


def test_a10_too_little_space_is_noticed_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(
        UserError, match=r"0\.0 MiB free on this disk, checkpoints need 0\.\d MiB more"
    ) as caught:
        train(without_xla(tmp_path), tmp_path / "run")
    assert caught.value.exit_code == 4


def test_a14_allowed_changes_continue_and_others_are_refused(tmp_path, monkeypatch, capsys):
    crash(without_xla(tmp_path), tmp_path / "run", monkeypatch, 4)
    changed = without_xla(tmp_path, "train.epochs=4", "train.learning_rate=1e-3")
    with pytest.raises(UserError, match=r"train\.learning_rate changed since the run started"):
        train(changed, tmp_path / "run", allowed=["train.epochs"])
    train(changed, tmp_path / "run", allowed=["train.epochs", "train.learning_rate"])
    assert "continues after step 4 with a change of train.epochs" in capsys.readouterr().err
    longer = without_xla(tmp_path, "train.epochs=6", "train.learning_rate=1e-3")
    train(longer, tmp_path / "run", allowed=["train.epochs"])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 6 * (result["steps"] // 6) > 4
    machine = RunDir(tmp_path / "run").machine
    machine.write_text(machine.read_text().replace('"source": "', '"source": "0'))
    with pytest.raises(UserError, match=r"code changed since .*--allow-changed code"):
        train(longer, tmp_path / "run")


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
    kept = [read_tensors(run.weights(step), MAX_JSON_BYTES)[0] for step in run.evaluated_steps()[-3:]]
    final, state = read_tensors(run.final, MAX_JSON_BYTES)
    assert state["weights"].startswith("average of steps")
    for name, value in final.items():
        assert abs(value - sum(part[name] for part in kept) / 3).max() < 1e-6


def test_old_checkpoints_and_weights_are_removed(tmp_path):
    train(recipes.text_config(tmp_path, "train.xla=false", "train.epochs=6"), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert len(run.steps()) == checkpoint.KEPT_STEPS
    assert len(run.evaluated_steps()) <= 2


def test_a9_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, monkeypatch, capsys):
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
    train(resolved, tmp_path / "run")
    warning = capsys.readouterr().err
    assert "its checksum differs from manifest.json. The one before is tried." in warning
    assert warning.count("\n") == 1
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
