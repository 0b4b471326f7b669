"""Which evaluation is the best, and when it is time to stop."""

import json
import math

import pytest

from attnzoo import catalog, tasks
from attnzoo.errors import ConfigErrors, UserError
from attnzoo.runs.folder import RunDir
from attnzoo.training import selection
from attnzoo.training.checkpoint import Progress
from attnzoo.training.run import train
from attnzoo.variables import write_tensors
from tests import recipes
from tests.training.interrupted import without_xla

TEXT = tasks.load("text_classification")


class Training:
    """The state of a training that selection needs."""

    def __init__(self, folder, *overrides):
        self.config, self.progress = recipes.text_config(folder, *overrides).config, Progress()

    def record(self, results):
        """Records (accuracy, loss) of evaluations; returns for each whether it was the best."""
        best = []
        for accuracy, loss in results:
            self.progress.step += 1
            rank = selection.compute_rank(TEXT, self.config.eval, {"accuracy": accuracy, "loss": loss})
            best.append(selection.record_evaluation(self.progress, self.config.train, rank))
        return best


def test_of_equal_values_the_lower_loss_is_the_best_and_no_reason_to_stop(tmp_path):
    one = Training(tmp_path, "train.early_stopping_patience=2")
    results = {(0.9, 0.5): True, (0.9, 0.4): True, (0.9, 0.41): False, (0.9, 0.3): True, (0.9, 0.35): False}
    assert one.record(results) == [*results.values()]
    assert (one.progress.best_step, one.progress.stopped_early) == (4, False)
    one.record([(0.9, 0.3)])
    assert one.progress.stopped_early


def test_a_gain_below_min_delta_is_the_best_but_does_not_count(tmp_path):
    one = Training(tmp_path, "train.early_stopping_patience=3", "train.min_delta=0.05")
    assert all(one.record([(0.5, 1.0), (0.52, 1.0), (0.54, 1.0)]))
    assert one.progress.evaluations_since_best == 2
    one.record([(0.56, 1.0)])  # more than 0.05 above the last that counted
    assert (one.progress.evaluations_since_best, one.progress.best_step) == (0, 4)


def test_the_rate_falls_to_the_least_one_and_no_further(tmp_path):
    plateau = ["schedule=plateau", "schedule_patience=1", "schedule_factor=0.5", "min_learning_rate=2e-3"]
    one = Training(tmp_path, "train.learning_rate=1e-2", *(f"train.{option}" for option in plateau))
    factors = []
    for _ in range(5):
        one.record([(0.5, 1.0)])
        factors.append(one.progress.plateau_factor)
    assert factors == [1.0, 0.5, 0.25, 0.2, 0.2]


@pytest.mark.parametrize("values", [(math.nan, 0.1), (0.9, math.nan), (math.inf, 0.1)])
def test_what_is_not_finite_is_never_the_best(tmp_path, values):
    assert Training(tmp_path).record([values, (0.1, 5.0), values]) == [False, True, False]


@pytest.mark.parametrize("name", catalog.names("tasks"))
def test_the_monitored_metric_has_a_direction(name):
    task = tasks.load(name)
    assert task.monitor in task.metrics
    assert task.metrics["loss"].higher_is_better is False


def test_another_metric_is_monitored_if_the_config_names_it(tmp_path):
    one = Training(tmp_path, "eval.monitor=loss")
    assert one.record([(0.9, 0.5), (0.1, 0.4)]) == [True, True]
    assert selection.best_value(TEXT, one.config.eval, one.progress.best_rank) == {"loss": 0.4}


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        (
            "acuracy",
            r"'acuracy' is no metric of text_classification \(did you mean 'accuracy'\?\); ",
        ),
        ("macro_f1", r"macro_f1 is only known at every evaluation with eval\.decode: every"),
    ],
)
def test_a_metric_that_is_not_measured_is_refused(tmp_path, monitor, message):
    with pytest.raises(ConfigErrors, match=message):
        recipes.text_config(tmp_path, f"eval.monitor={monitor}")
    recipes.text_config(tmp_path, "eval.monitor=macro_f1", "eval.decode=every")


def test_a_metric_that_the_data_does_not_have_is_refused(tmp_path):
    one = Training(tmp_path, "eval.monitor=top_5_accuracy", "eval.decode=every")
    with pytest.raises(UserError, match="top_5_accuracy is undefined for this data; choose one of loss, acc"):
        one.record([(0.5, 1.0)])


def test_average_best_ranks_as_best_does(tmp_path):
    run, task = RunDir(tmp_path), TEXT
    run.checkpoints.mkdir()
    metrics = [(0.9, 0.5), (0.9, 0.3), (math.nan, 0.1), (0.9, 0.4), (0.8, 0.1)]
    for step, (accuracy, loss) in enumerate(metrics, 1):
        write_tensors(run.weights(step), {}, {"metrics": {"accuracy": accuracy, "loss": loss}})
    config = recipes.text_config(tmp_path, "eval.weights=average_best", "eval.average=2").config
    assert selection.select_steps(run, task, 2, config.eval) == [2, 4]


@pytest.mark.slow
def test_a_run_that_stopped_early_continues_with_more_patience(tmp_path, capsys):
    slow = ("train.epochs=30", "train.learning_rate=1e-9")
    run = tmp_path / "run"
    train(without_xla(tmp_path, *slow, "train.early_stopping_patience=1"), run)
    steps = json.loads((run / "result.json").read_text())["steps"]
    assert "stopped early" in capsys.readouterr().out
    train(
        without_xla(tmp_path, *slow, "train.early_stopping_patience=1", "train.log_every=3"),
        run,
        allowed=["train.log_every"],
    )
    assert f"stopped early after step {steps}: 1 evaluations" in capsys.readouterr().out
    more = without_xla(tmp_path, *slow, "train.early_stopping_patience=3", "train.log_every=3")
    train(more, run, allowed=["train.early_stopping_patience"])
    assert json.loads((run / "result.json").read_text())["steps"] > steps
