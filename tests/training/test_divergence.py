"""Values that are not finite."""

import json

import numpy as np
import pytest

from attnzoo.errors import UserError
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.training import loop
from attnzoo.training.run import train
from attnzoo.training.step import TrainStep
from tests import recipes
from tests.training.interrupted import every_tensor, outcome, read, without_xla


def test_a_diverged_run_stops_with_its_step_and_examples(tmp_path):
    resolved = recipes.text_config(
        tmp_path, "train.xla=false", "train.learning_rate=1e30", "train.optimizer=sgd"
    )
    with pytest.raises(
        UserError, match=r"diverged: .* at step \d+ \(train examples \d+, .*learning_rate"
    ) as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 3


def assert_all_finite(run):
    """No file of a run holds a value that is not finite."""
    for folder in [path for path in run.checkpoints.iterdir() if path.is_dir()]:
        assert all(np.isfinite(value).all() for value in read(folder).values()), folder


def test_a17_weights_that_overflow_are_never_saved(tmp_path):
    # Weights overflow in a step whose gradients were still finite.
    resolved = without_xla(tmp_path, "train.learning_rate=3e38", "train.optimizer=sgd", "train.log_every=100")
    with pytest.raises(UserError, match=r"diverged: .* step \d+") as caught:
        train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 3
    assert_all_finite(RunDir(tmp_path / "run"))


def poison_batch(train_step, batches):
    return [(inputs, {**targets, "weights": targets["weights"] * np.nan}) for inputs, targets in batches]


def poison_weights(train_step, batches):
    train_step.model.trainable_weights[2].assign(train_step.model.trainable_weights[2] * np.nan)
    return batches


def poison_gradient(train_step, batches):
    # Finite weights of a finite loss, which overflow on their way back.
    train_step.model.trainable_weights[-2].assign(train_step.model.trainable_weights[-2] * 0 + 3e38)
    return batches


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("poison", [poison_batch, poison_weights, poison_gradient])
def test_a17_a_value_that_is_not_finite_anywhere_stops_the_run_and_the_previous_checkpoint_continues(
    tmp_path, monkeypatch, precision, poison
):
    resolved = without_xla(tmp_path, f"train.precision={precision}", "train.checkpoint_seconds=1000")
    take, step = TrainStep.step, []

    def poisoned(self, batches, learning_rate):
        step.append(1)
        return take(self, poison(self, batches) if len(step) >= 6 else batches, learning_rate)

    monkeypatch.setattr(loop, "MAX_SKIPPED_STEPS", 2)  # of float16, whose loss scale may be to blame
    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "step", poisoned)
        with pytest.raises(UserError, match=r"diverged: .* step \d+|not finite after step") as caught:
            train(resolved, tmp_path / "run")
    assert caught.value.exit_code == 3
    assert len(step) <= 6 + resolved.config.train.log_every
    run = RunDir(tmp_path / "run")
    assert run.steps() == [4]
    assert_all_finite(run)
    train(resolved, tmp_path / "run")
    train(resolved, tmp_path / "whole")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a17_a_run_recovers_at_a_lower_rate_as_often_as_it_may(tmp_path, monkeypatch, capsys):
    resolved = without_xla(tmp_path, "train.max_recoveries=2")
    take = TrainStep.step

    def poisoned(self, batches, learning_rate):
        # Above half the rate, the fourth step is not finite.
        if learning_rate > 6e-3 and int(self.optimizer.iterations) == 3:
            self.model.trainable_weights[0].assign(self.model.trainable_weights[0] * np.nan)
        return take(self, batches, learning_rate)

    monkeypatch.setattr(TrainStep, "step", poisoned)
    train(resolved, tmp_path / "run")
    written = capsys.readouterr().err
    assert "Going back to step 3 with half the learning rate, recovery 1 of 2." in written
    lines = [json.loads(line) for line in RunDir(tmp_path / "run").metrics.read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == sorted(set(steps))
    rates = {line["step"]: line["optimizer/learning_rate"] for line in lines if line["split"] == "train"}
    assert rates[2] == pytest.approx(1e-2)
    assert rates[max(rates)] == pytest.approx(5e-3)
    assert all(np.isfinite(value).all() for value in every_tensor(RunDir(tmp_path / "run")).values())


def test_a18_a_metric_that_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    sums, results = Evaluator.evaluate, iter([np.nan, 0.5, np.nan, 0.25])

    def replaced(self, examples, *arguments):
        metrics = sums(self, examples, *arguments)
        return {**metrics, "accuracy": next(results, 0.0)} if len(examples) == 7 else metrics

    monkeypatch.setattr(Evaluator, "evaluate", replaced)
    train(without_xla(tmp_path, "train.epochs=4"), tmp_path / "run")
    state = json.loads((RunDir(tmp_path / "run").step(16) / "state.json").read_text())
    assert (state["best_step"], state["best_rank"][0]) == (8, 0.5)
