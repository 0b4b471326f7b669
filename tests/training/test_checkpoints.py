"""Checkpoints on disk: kept, damaged, misfitting, or without a place to be written to."""

import errno
import os
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from attnzoo import tasks
from attnzoo.config import RunConfig
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import MAX_JSON_BYTES
from attnzoo.runs.building import build_model
from attnzoo.runs.folder import RunDir
from attnzoo.training import checkpoint, distribution, optimizers
from attnzoo.training.run import train
from attnzoo.training.step import TrainStep
from attnzoo.variables import read_tensors, write_tensors
from tests.training.interrupted import crash, outcome, without_xla
from tests.trees import tree


def test_old_files_are_removed_and_the_average_is_the_mean_of_the_last_evaluations(tmp_path):
    resolved = without_xla(tmp_path, "train.epochs=6", "eval.weights=average", "eval.average=3")
    train(resolved, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert len(run.steps()) == checkpoint.MAX_CHECKPOINTS
    assert len(run.evaluated_steps()) <= 4
    kept = [read_tensors(run.weights(step), MAX_JSON_BYTES)[0] for step in run.evaluated_steps()[-3:]]
    final, state = read_tensors(run.final, MAX_JSON_BYTES)
    assert state["weights"].startswith("average of steps")
    for name, value in final.items():
        assert abs(value - sum(part[name] for part in kept) / 3).max() < 1e-6


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """A run of two checkpoints that a crash has ended."""
    folder = tmp_path_factory.mktemp("crashed")
    with pytest.MonkeyPatch.context() as patch:
        crash(without_xla(folder), folder / "run", patch, 3)
    return RunDir(folder / "run")


@pytest.fixture
def half(crashed, tmp_path):
    """A copy of it that a test may damage."""
    shutil.copytree(crashed.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.fixture(scope="module")
def train_step(crashed):
    """What its checkpoints are restored into."""
    config = RunConfig.read(crashed.config)
    info = DataInfo.read(crashed.info)
    model = build_model(config, info)
    strategy = distribution.make_strategy(1)
    task = tasks.load("text_classification")
    return TrainStep(model, optimizers.build(config.train), task, info, config.train, strategy, xla=False)


def test_a8_what_does_not_fit_is_named_and_nothing_is_restored(half, train_step):
    values, state = read_tensors(half.step(3), MAX_JSON_BYTES)
    before = [value.copy() for value in train_step.model.get_weights()]
    names = [name for name, value in values.items() if value.ndim == 2]
    chosen = [*names[:: len(names) // 4][:4], "optimizer/adam/iteration"]
    mutations = []
    for name in chosen:
        value = values[name]
        mutations += [
            (f"missing '{name}'", {key: value for key, value in values.items() if key != name}),
            (f"unexpected '{name}x'", {**values, f"{name}x": value}),
            (f"'{name}' has shape", {**values, name: np.stack([value, value])}),
            (f"'{name}' has dtype complex64", {**values, name: value.astype(np.complex64)}),
        ]
    assert len(mutations) == 20
    for message, mutated in mutations:
        write_tensors(half.step(3), mutated, state)
        with pytest.raises(UserError, match=re.escape(message)) as caught:
            checkpoint.restore(half, train_step)
        assert caught.value.exit_code == 4
        for old, new in zip(before, train_step.model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def damages(size):
    """Yields 102 ways to damage a file of tensors of this size, or its folder."""
    generator = np.random.default_rng(7)
    for length in generator.integers(0, size, 50):
        yield lambda data, _, length=length: data[:length]
    for position, bit in zip(generator.integers(0, size, 50), generator.integers(0, 8, 50), strict=True):

        def flip(data, _, position=position, bit=bit):
            return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]

        yield flip
    yield lambda data, _: b""
    yield lambda data, folder: (folder / "manifest.json").unlink() or data


def test_a9_each_of_102_damages_is_detected_and_the_previous_checkpoint_is_used(half, train_step, capsys):
    folder = half.step(3)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    tried = 0
    for damage in damages(len(whole["tensors.safetensors"])):
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        tensors = folder / "tensors.safetensors"
        tensors.write_bytes(damage(whole[tensors.name], folder))
        assert checkpoint.restore(half, train_step).step == 2
        warning = capsys.readouterr().err
        assert warning.startswith(f"attnzoo: warning: {folder}")
        assert warning.endswith("Trying the checkpoint before it.\n")
        assert warning.count("\n") == 1
        tried += 1
    assert tried == 102


@pytest.mark.slow
def test_a9_a_run_with_a_damaged_checkpoint_ends_like_one_without(half, tmp_path):
    resolved = without_xla(tmp_path)
    (half.step(3) / "tensors.safetensors").write_bytes(b"")
    train(resolved, half.path, allowed=["data", "data.train", "data.test"])
    train(resolved, tmp_path / "whole")
    assert outcome(half.path) == outcome(tmp_path / "whole")


def test_a9_all_checkpoints_damaged_is_one_error(half, train_step):
    for step in half.steps():
        (half.step(step) / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(
        UserError, match="all checkpoints are damaged; start from scratch with --restart"
    ) as caught:
        checkpoint.restore(half, train_step)
    assert caught.value.exit_code == 4


def test_a10_too_little_space_is_noticed_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(
        UserError, match=r"0\.0 MiB free on this disk, but checkpoints need 0\.\d MiB more"
    ) as caught:
        train(without_xla(tmp_path), tmp_path / "run")
    assert caught.value.exit_code == 4


def test_a11_a_folder_that_disappears_is_one_error(tmp_path, monkeypatch):
    take = TrainStep.step

    def removing(self, batches, learning_rate):
        shutil.rmtree(tmp_path / "run")
        return take(self, batches, learning_rate)

    monkeypatch.setattr(TrainStep, "step", removing)
    with pytest.raises(UserError, match=r"cannot be written.*No such file or directory") as caught:
        train(without_xla(tmp_path), tmp_path / "run")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("trouble", [errno.EIO, errno.EROFS, errno.ENOSPC])
def test_a11_a_disk_that_fails_leaves_the_checkpoint_before(half, train_step, monkeypatch, trouble):
    progress = checkpoint.restore(half, train_step)
    before = tree(half.checkpoints)

    def fail(descriptor):
        raise OSError(trouble, os.strerror(trouble))

    monkeypatch.setattr(os, "fsync", fail)
    progress.step += 1
    with pytest.raises(UserError, match=f"cannot be written.*: {os.strerror(trouble)}; fix this") as caught:
        checkpoint.save(half, train_step, progress)
    assert caught.value.exit_code == 4
    assert tree(half.checkpoints) == before


MOUNTS = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def in_a_mount(script, folder):
    """Runs a shell script in a namespace of its own, in which it may mount."""
    command = f'set -e; attnzoo() {{ {sys.executable} -m attnzoo "$@"; }}; {script}'
    return subprocess.run(["unshare", "-rm", "sh", "-c", command], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not MOUNTS, reason="no file system can be mounted here")
def test_a10_a_run_whose_disk_was_full_continues_when_there_is_space_again(tmp_path):
    (tmp_path / "full.yaml").write_text(without_xla(tmp_path, "train.epochs=40").to_yaml(), "utf-8")
    script = """
mkdir small; mount -t tmpfs -o size=16m none small
attnzoo train full.yaml --run small/run & process=$!
tries=0
until ls small/run/checkpoints 2> /dev/null | grep -qE 'step-000000(0[5-9]|[1-9])'; do
  tries=$((tries + 1)); [ $tries -lt 3000 ]; sleep 0.02
done
head -c 99m /dev/zero > small/filler || true
code=0; wait $process || code=$?
ls small/run/checkpoints; rm small/filler
attnzoo train full.yaml --run small/run
attnzoo train full.yaml --run whole
cp -r small/run run; echo "code $code"
"""
    ended = in_a_mount(script, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "code 4"
    errors = [line for line in ended.stderr.splitlines() if line.startswith("attnzoo: error")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "Traceback" not in ended.stderr
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not MOUNTS, reason="no file system can be mounted here")
def test_a11_a_read_only_disk_is_one_error(tmp_path):
    (tmp_path / "run.yaml").write_text(without_xla(tmp_path).to_yaml(), "utf-8")
    script = "mkdir fixed; mount -t tmpfs -o ro none fixed; attnzoo train run.yaml --run fixed/run"
    ended = in_a_mount(script, tmp_path)
    assert ended.returncode == 4
    assert ended.stderr.startswith("attnzoo: error: fixed/run: cannot be written: Read-only file system")
    assert ended.stderr.count("\n") == 1
