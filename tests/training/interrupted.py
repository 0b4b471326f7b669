"""Tiny runs that are cut short, and how their outcomes are compared."""

import hashlib
import json

import pytest

from attnzoo.files import MAX_JSON_BYTES
from attnzoo.runs.folder import RunDir
from attnzoo.training.run import train
from attnzoo.training.step import TrainStep
from attnzoo.variables import read_tensors
from tests import recipes

CLOCKS = ("speed/", "xla/")


class Crash(Exception):
    """Stands for a power cut."""


def crash_at(monkeypatch, step):
    """The process ends inside the call of the step after `step`."""
    take, taken = TrainStep.steps, []

    def counted(self, groups, learning_rates):
        taken.extend(learning_rates)
        if len(taken) > step:
            raise Crash
        return take(self, groups, learning_rates)

    monkeypatch.setattr(TrainStep, "steps", counted)


def crash(resolved, folder, monkeypatch, step):
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            train(resolved, folder)


def outcome(folder):
    """Hash of the final weights and of the last checkpoint, and the log without clocks."""
    run = RunDir(folder)
    weights = (run.final / "tensors.safetensors").read_bytes()
    last = (run.step(run.steps()[-1]) / "tensors.safetensors").read_bytes()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    kept = [{key: value for key, value in line.items() if not key.startswith(CLOCKS)} for line in lines]
    return hashlib.sha256(weights).hexdigest(), hashlib.sha256(last).hexdigest(), kept


def without_xla(folder, *overrides):
    options = ("train.xla=false", "train.checkpoint_seconds=0", "eval.samples=0")
    return recipes.text_config(folder, *options, *overrides)


def read(folder):
    return read_tensors(folder, MAX_JSON_BYTES)[0]


def every_tensor(run):
    folders = [path for path in run.checkpoints.iterdir() if path.is_dir()]
    assert folders
    return {(path.name, key): value for path in folders for key, value in read(path).items()}
