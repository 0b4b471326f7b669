"""What text and image regression have to show alike, from one finished run."""

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnzoo import comparison, evaluation, prediction, tasks
from attnzoo.explanation import Explanation
from attnzoo.export import export
from attnzoo.files import MAX_JSON_BYTES
from attnzoo.records.text_records import TextRecord
from attnzoo.tasks.types import Request
from attnzoo.training.run import train
from attnzoo.variables import read_tensors, write_tensors


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        folder: of it.
        printed: what its training printed.
        inputs: of test: texts, or paths of images.
        numbers: of test, <float64>[examples].
        mean: of the numbers of train and validation.
        answers: of the run to the inputs, <float64>[examples].
    """

    folder: Path
    printed: str
    inputs: list[str]
    numbers: np.ndarray
    mean: float
    answers: np.ndarray


def rows_of(path):
    return [line.rsplit(",", 1) for line in path.read_text("utf-8").splitlines()[1:]]


def trained_on(resolved, folder, in_folder=False):
    """Trains, and returns the run beside the data in `folder`; inputs are paths `in_folder`, or texts."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        train(resolved, folder / "run")
    test, known = rows_of(folder / "test.csv"), rows_of(folder / "train.csv")
    inputs = [str(folder / value) if in_folder else value for value, _ in test]
    numbers = np.array([float(number) for _, number in test])
    mean = np.mean([float(number) for _, number in known])
    answers = _answers_of(folder / "run", inputs)
    return Trained(folder / "run", printed.getvalue(), inputs, numbers, mean, answers)


def _answers_of(run, inputs):
    answers = prediction.EnsemblePredictor([run], Request())
    actual = list(answers.predict(TextRecord(value) for value in inputs))
    assert all(set(one) - {"image"} == {"number", "truncated", "beyond_training"} for one in actual)
    assert answers.task.answer_line(actual[0]) == f"{actual[0]['number']:.9g}"
    return np.array([one["number"] for one in actual])


def check_that_it_learns(trained):
    result = json.loads((trained.folder / "result.json").read_text())
    assert result["split"] == "test"
    assert result["metrics"]["mae"] < 0.5 * np.abs(trained.numbers - trained.mean).mean()
    assert f"mae {result['metrics']['mae']:.4f}" in trained.printed


def check_evaluation(trained):
    """The metrics of eval are those of the answers, and those that the training ended with."""
    file = trained.folder.parent / "answers.csv"
    actual, lines = evaluation.evaluate(trained.folder, worst=2, predictions=file)
    table = [row.split(",") for row in file.read_text().splitlines()]
    np.testing.assert_allclose([float(row[-1]) for row in table[1:]], trained.answers, rtol=1e-4)
    np.testing.assert_allclose([float(row[-2]) for row in table[1:]], trained.numbers, rtol=1e-5)
    assert lines[:2] == [f"predictions: {file}", "worst:"]
    distances = np.abs(trained.answers - trained.numbers)
    worst = [abs(one["number"] - one["true_number"]) for one in actual["worst"]]
    np.testing.assert_allclose(worst, np.sort(distances)[:-3:-1], rtol=1e-3)
    metrics = actual["metrics"]
    with_interval = {"mae", "rmse", "spearman"}
    assert set(metrics) == {"loss", "r2"} | with_interval | {f"{name}_interval" for name in with_interval}
    ended = json.loads((trained.folder / "result.json").read_text())["metrics"]
    assert metrics == pytest.approx(ended, rel=1e-4)
    errors = trained.answers - trained.numbers
    assert metrics["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    assert metrics["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    rank = stats.spearmanr(trained.numbers, trained.numbers + errors).statistic
    assert metrics["spearman"] == pytest.approx(rank, abs=1e-6)
    assert metrics["r2"] > 0.5


def check_export(trained, raw):
    """An export, which has been verified, gives the numbers that the run answers with."""
    folder = export(trained.folder)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (argument,) = signature.structured_input_signature[1]
    actual = signature(**{argument: tf.constant(raw)})
    np.testing.assert_allclose(actual["number"], trained.answers, rtol=1e-5)
    description = json.loads((folder / "export.json").read_text())
    assert description["task"] == json.loads((trained.folder / "info.json").read_text())["task"]
    assert description["signatures"]["serving_default"]["outputs"] == {"number": "float32[None]"}


def check_comparison(trained):
    """A copy whose weights of the output are none, so that it says the mean, is worse by more than chance."""
    other = trained.folder.parent / "other"
    shutil.copytree(trained.folder, other, ignore=shutil.ignore_patterns("logs", "step-*", "export"))
    final = other / "checkpoints" / "final"
    values, state = read_tensors(final, MAX_JSON_BYTES)
    values["model/logits/kernel"] = np.zeros_like(values["model/logits/kernel"])
    write_tensors(final, values, state)
    (first, second), how = comparison.compare([trained.folder, other])
    metrics = json.loads((trained.folder / "result.json").read_text())["metrics"]
    assert (first.metric, first.p_value) == ("mae", None)
    assert first.value == pytest.approx(metrics["mae"], rel=1e-4)
    assert first.interval == pytest.approx(metrics["mae_interval"], rel=1e-4)
    assert second.value > first.value
    assert 0.0 < second.p_value < 0.05
    assert how.startswith(f"mae of {len(trained.numbers)} examples")


def tags_of(trained, split):
    accumulator = EventAccumulator(str(trained.folder / "logs" / split))
    accumulator.Reload()
    return set(accumulator.Tags()["tensors"])


def check_tensorboard(trained):
    assert tags_of(trained, "validation") >= {"loss", "mae", "samples", "attention"}
    assert tags_of(trained, "test") >= {"mae", "spearman", "predictions"}


def check_explanation(trained, folder):
    explanation = Explanation(trained.folder)
    actual = [json.loads(one.to_json()) for one in explanation.explain_examples("test", 3)]
    order = np.argsort(trained.numbers, kind="stable")
    chosen = sorted(order[[0, len(order) // 3, 2 * len(order) // 3]])  # small and large ones
    assert [one["true_number"] for one in actual] == pytest.approx(
        [trained.numbers[i] for i in chosen], rel=1e-6
    )
    assert [one["number"] for one in actual] == pytest.approx([trained.answers[i] for i in chosen], rel=1e-5)
    maps = explanation.explain_inputs(trained.inputs[:2])
    assert json.loads(maps[0].to_json())["true_number"] is None
    paths = explanation.view.write(maps, folder, "where it attends")
    assert paths
    assert all(path.is_file() for path in paths)
    assert list(explanation.view.lines(maps, paths, False))


def check_next_commands(trained):
    task = tasks.load(json.loads((trained.folder / "info.json").read_text())["task"])
    verbs = {"attend", "predict", "export", "eval"}
    for verb in verbs:
        assert f"attnzoo {verb} {trained.folder}" in trained.printed
    for attends in (True, False):
        commands = [command for command, _ in task.next_commands(trained.folder, attends)]
        offered = {command.split()[1] for command in commands if command.startswith("attnzoo")}
        assert offered == (verbs if attends else verbs - {"attend"})
