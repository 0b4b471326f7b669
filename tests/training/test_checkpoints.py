"""Checkpoints on disk: kept, damaged, misfitting, or without a place to be written to."""

import re
import shutil
import types

import pytest

from attnzoo.errors import UserError
from attnzoo.run_dir import RunDir
from attnzoo.tensors import MAX_JSON_BYTES, read_tensors, write_tensors
from attnzoo.training import checkpoint
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes
from tests.training.interrupted import Crash, crash, crash_at, outcome, without_xla


def test_old_checkpoints_and_weights_are_removed(tmp_path):
    train(recipes.text_config(tmp_path, "train.xla=false", "train.epochs=6"), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert len(run.steps()) == checkpoint.KEPT_STEPS
    assert len(run.evaluated_steps()) <= 2


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


def test_a9_all_checkpoints_damaged_is_one_error(tmp_path, monkeypatch, capsys):
    resolved = without_xla(tmp_path)
    crash(resolved, tmp_path / "run", monkeypatch, 3)
    run = RunDir(tmp_path / "run")
    for step in run.steps():
        (run.step(step) / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint is whole; start again with --restart") as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 4


def test_a10_too_little_space_is_noticed_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(
        UserError, match=r"0\.0 MiB free on this disk, checkpoints need 0\.\d MiB more"
    ) as caught:
        train(without_xla(tmp_path), tmp_path / "run")
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
