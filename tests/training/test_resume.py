"""A run that was interrupted ends as if it had not been."""

import contextlib
import itertools
import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo.config import ResolvedConfig
from attnzoo.errors import EXIT_STOPPED
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.training import selection
from attnzoo.training.loop import Stopped
from attnzoo.training.run import train
from attnzoo.training.selection import Rank
from attnzoo.training.step import TrainStep
from tests import recipes
from tests.training.interrupted import crash, outcome, without_xla

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def check_crashes(make, folder, monkeypatch, overrides):
    """Three crashes after 1, 3 and 2 steps more."""
    resolved = make(folder, "train.checkpoint_seconds=0", "train.steps=9", *overrides)
    train(resolved, folder / "whole")
    for step in (1, 3, 2):
        crash(resolved, folder / "crashed", monkeypatch, step)
    train(resolved, folder / "crashed")
    assert outcome(folder / "crashed") == outcome(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a6_crashes_end_bit_identical_whatever_is_combined(
    tmp_path, monkeypatch, optimizer, precision, ema, accumulate
):
    options = {
        "optimizer": optimizer,
        "precision": precision,
        "ema_decay": ema,
        "gradient_accumulation_steps": accumulate,
    }
    overrides = [f"train.{key}={value}" for key, value in options.items()]
    check_crashes(recipes.text_config, tmp_path, monkeypatch, [*overrides, "train.xla=false"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["train.ema_decay=0.9", "train.schedule=plateau", "train.schedule_patience=1"],
        ["train.gradient_accumulation_steps=3", "eval.every=4", "train.optimizer=lamb"],
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


def mosaic_config(folder, *overrides):
    """A detector whose mosaics end in the middle of training."""
    return recipes.write(
        folder,
        "mosaic",
        """
seed: 3
data: {name: shapes, examples: 24, image_size: 32, augment: [{name: mosaic, until: 0.6}, flip, zoom]}
model: {name: detector, stages: [[4], [5], [6]], strides: [4, 8], pyramid_units: 8, head_depth: 1}
train: {epochs: 3, batch_size: 8, learning_rate: 1e-2, log_every: 2}
eval: {samples: 0, monitor: loss, decode: final}
""",
        overrides,
    )


@pytest.mark.slow
def test_a6_crashes_with_mosaics_end_bit_identical(tmp_path, monkeypatch):
    check_crashes(mosaic_config, tmp_path, monkeypatch, ["train.xla=false"])


@pytest.mark.slow
def test_a6_texts_are_resampled_also_after_a_crash(tmp_path, monkeypatch):
    pieces = ["data.tokenizer=bpe", "data.vocabulary_size=60", "data.subword_sampling=0.4"]
    resolved = without_xla(tmp_path, *pieces, "train.epochs=2")
    train(resolved, tmp_path / "whole")
    crash(resolved, tmp_path / "crashed", monkeypatch, 5)
    train(resolved, tmp_path / "crashed")
    assert outcome(tmp_path / "crashed") == outcome(tmp_path / "whole")


SCRIPT = [0.5, 0.6, 0.55, 0.58, 0.7, 0.7, 0.6, 0.65, 0.1, 0.9, 0.9, 0.9]
"""Accuracies by epoch: the rate falls after the fourth and the seventh, the fifth is best, the ninth last."""


@pytest.mark.slow
@pytest.mark.parametrize("crashes", [2, 10])
def test_a7_best_early_stopping_and_plateau_survive_crashes(tmp_path, monkeypatch, crashes):
    plateau = ["train.schedule=plateau", "train.schedule_patience=2", "train.schedule_factor=0.5"]
    resolved = without_xla(tmp_path, "train.epochs=12", "train.early_stopping_patience=4", *plateau)
    record = selection.record_evaluation

    def scripted(progress, options, rank):
        return record(progress, options, Rank(SCRIPT[progress.epoch - 1], 0.0))

    monkeypatch.setattr(selection, "record_evaluation", scripted)
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


class Whole(NamedTuple):
    """A run that nobody has disturbed.

    Attributes:
        resolved: its config.
        folder: its folder.
        seen: examples of each step.
    """

    resolved: ResolvedConfig
    folder: Path
    seen: list[list[int]]


@contextlib.contextmanager
def ledger():
    """Notes the examples of each step that is taken."""
    take, seen = TrainStep.step, []

    def noted(self, batches, learning_rate):
        real = [targets["indices"][targets["weights"] > 0].numpy().tolist() for _, targets in batches]
        seen.append([index for part in real for index in part])
        return take(self, batches, learning_rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainStep, "step", noted)
        yield seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    # The hardest cell of the matrix above stands for it in the default suite.
    options = (
        "train.batch_size=7",
        "train.gradient_accumulation_steps=2",
        "train.precision=mixed_float16",
        "train.ema_decay=0.9",
    )
    resolved = without_xla(folder, *options)
    with ledger() as seen:
        train(resolved, folder / "whole")
    return Whole(resolved, folder / "whole", seen)


@pytest.mark.parametrize(
    ("number", "during"),
    [
        pytest.param(signal.SIGTERM, "step", id="term"),
        pytest.param(signal.SIGINT, "evaluation", id="int", marks=pytest.mark.slow),
    ],
)
def test_a12_a_signal_saves_and_the_same_command_continues(tmp_path, monkeypatch, whole, number, during):
    place, name = {"step": (TrainStep, "step"), "evaluation": (Evaluator, "evaluate")}[during]
    function = getattr(place, name)

    def signalled(self, *arguments):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # a second one changes nothing
        return function(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, signalled)
        with pytest.raises(
            Stopped, match=r"stopped on request after step \d; run the same command"
        ) as caught:
            train(whole.resolved, tmp_path / "run")
    assert caught.value.exit_code == EXIT_STOPPED
    assert RunDir(tmp_path / "run").steps()[-1] == {"step": 1, "evaluation": 5}[during]
    train(whole.resolved, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(whole.folder)


@pytest.mark.slow
def test_a5_a19_examples_and_logs_come_once_across_crashes(tmp_path, monkeypatch, whole):
    run = tmp_path / "run"
    with ledger() as seen:
        crash(whole.resolved, run, monkeypatch, 4)
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"split": "train", "st')  # what a kill leaves of a line
        train(whole.resolved, run)
    assert seen == whole.seen
    steps_an_epoch = len(seen) // 3
    for epoch in range(3):
        indices = [index for step in seen[epoch * steps_an_epoch :][:steps_an_epoch] for index in step]
        assert sorted(indices) == list(range(59))
    assert outcome(run) == outcome(whole.folder)

    def curve(folder):
        events = EventAccumulator(str(folder / "logs" / "train"))
        events.Reload()
        return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("loss")]

    assert curve(run) == curve(whole.folder)
    steps = [step for step, _ in curve(run)]
    assert steps == sorted(set(steps))
    assert len(steps) > 3
