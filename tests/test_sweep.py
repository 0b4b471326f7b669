"""Trainings of one config with several values, side by side."""

import json
import math
import statistics
import subprocess
import sys

import pytest

from attnzoo import sweep
from attnzoo.cli.sweep import print_outcomes
from attnzoo.errors import EXIT_STOPPED, ConfigErrors, UserError
from attnzoo.runs.trained import load_trained
from tests import commands, recipes


class Forked:
    """In the place of a process: the command in a fork that has imported TensorFlow."""

    def __init__(self, command, stdout, **_):
        assert command[:4] == [sys.executable, "-m", "attnzoo", "train"]
        self.ended = commands.run(*command[3:], folder=Forked.folder)
        stdout.write(self.ended.out + self.ended.err)
        stdout.flush()

    def wait(self):
        return self.ended.code


@pytest.fixture
def forked(monkeypatch, tmp_path):
    monkeypatch.setattr(Forked, "folder", tmp_path, raising=False)
    monkeypatch.setattr(subprocess, "Popen", Forked)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    recipes.text_config(tmp_path)
    return tmp_path / "greetings.yaml"


def test_variants_of_two_tasks_are_refused_before_the_first_training(config, monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", lambda *_: pytest.fail("it trains"))
    vary = ["model.name=text_classifier,multi_label_text_classifier"]
    with pytest.raises(
        UserError, match=r"--vary: runs of different tasks \(multi_label_classification, text_c"
    ):
        sweep.sweep(config, vary, out=tmp_path / "runs")


def test_every_combination_of_values_is_a_variant():
    actual = sweep.variants(
        ["model.attention.name=additive,multi_head", "train.xla=true, 'x'", "model.dense_units=[8]"]
    )
    assert [one.name for one in actual] == [
        "additive, true, [8]",
        "additive, x, [8]",
        "multi_head, true, [8]",
        "multi_head, x, [8]",
    ]
    assert actual[1].overrides == (
        'model.attention.name="additive"',
        'train.xla="x"',
        "model.dense_units=[8]",
    )


@pytest.mark.parametrize("text", ["model.units", "=1,2", "model.units=", "model.units= "])
def test_what_is_no_list_of_values_is_refused(text):
    with pytest.raises(
        UserError, match=r"expected KEY=VALUE,VALUE,\.\.\. such as model\.attention\.name=additive"
    ):
        sweep.variants([text])


def test_values_twice_and_values_that_are_wrong_are_refused_before_any_training(config, forked, tmp_path):
    with pytest.raises(UserError, match=r"--vary model\.units=8,8: a value appears twice"):
        sweep.sweep(config, ["model.units=8,8"])
    with pytest.raises(
        ConfigErrors, match=r"model\.units: expected a whole number of at least 1, received -8"
    ):
        sweep.sweep(config, ["model.units=8,-8"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_each_value_is_trained_with_each_seed_and_nothing_twice(config, forked, tmp_path, capsys):
    options, vary = ["train.xla=false", "train.epochs=1"], ["model.pooling=mean"]
    actual = sweep.sweep(config, vary, options, seeds=2)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "[2/2] mean, seed 4: runs/sweeps/greetings/mean-seed4"
    (mean,) = actual
    assert mean.runs == [f"runs/sweeps/greetings/mean-seed{seed}" for seed in (3, 4)]
    trained = load_trained(tmp_path / mean.runs[1])
    assert (trained.config.seed, trained.config.model.pooling) == (4, "mean")
    result = json.loads((tmp_path / mean.runs[1] / "result.json").read_text())
    assert result["num_parameters"] == trained.model.count_params() == mean.num_parameters
    assert mean.metrics["accuracy"][1] == result["metrics"]["accuracy"]
    assert mean.validation[1] == result["validation"]["accuracy"]
    assert (mean.monitor, mean.split) == ("accuracy", "test")
    assert all(value > 0 for value in mean.targets_per_second)
    assert all(value > 1 << 28 for value in mean.peak_memory_bytes)

    before = (tmp_path / mean.runs[0] / "metrics.jsonl").read_bytes()
    assert sweep.sweep(config, vary, options, seeds=2) == actual
    assert (tmp_path / mean.runs[0] / "metrics.jsonl").read_bytes() == before

    print_outcomes(actual, ["model.pooling"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = [row for row in rows if len(row) > 7 and row[0] == "mean"]
    accuracies = mean.metrics["accuracy"]
    assert row[4:7] == [f"{statistics.mean(accuracies):.4f}", "±", f"{statistics.stdev(accuracies):.4f}"]
    assert row[7] == f"{mean.num_parameters:,}"


def test_a_training_that_fails_is_named_with_its_reason_and_exit_code(config, forked, tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n")
    with pytest.raises(
        UserError, match=r"runs/sweeps/greetings/8-seed3: .*train\.csv: .* \(output: .*8-seed3\.log"
    ):
        sweep.sweep(config, ["model.units=8"], seeds=1)


@pytest.mark.slow
def test_a_stop_reaches_the_training_and_the_same_command_continues(config, tmp_path):
    command = ["sweep", config, "--vary", "model.units=8", "--seeds", "1", "--set", "train.xla=false"]
    folder = tmp_path / "runs" / "sweeps" / "greetings" / "8-seed3"
    more = ["--set", "train.epochs=1000", "--set", "train.log_every=1"]
    process = commands.start(*command, *more, folder=tmp_path, out=tmp_path / "out")
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text()):
        assert process.is_alive()
        process.join(0.1)
    process.terminate()
    process.join(60)
    assert process.exitcode == EXIT_STOPPED
    assert "attnzoo: stopped; run the same command to continue.\n" in (tmp_path / "out").read_text()
    assert any((folder / "checkpoints").iterdir())


def test_sweep_takes_a_config_and_compare_takes_runs(config, tmp_path):
    for arguments, message in (
        (
            ["sweep", tmp_path, "--vary", "model.units=8"],
            f"attnzoo: error: {tmp_path}: a folder, expected a config file",
        ),
        (["sweep", config], "attnzoo: error: missing option '--vary'"),
        (["compare", config, config], f"attnzoo: error: {config}: no such run folder; expected one"),
        (["compare", tmp_path, tmp_path, "--seeds", "2"], "attnzoo: error: no such option: --seeds"),
    ):
        ended = commands.run(*arguments, folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(message)


def test_a_run_too_short_to_be_timed_has_no_speed(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"split": "train", "step": 1}\n')
    assert math.isnan(sweep._median_speed(tmp_path))


def test_a_metric_that_a_seed_lacks_is_left_out_and_named(tmp_path):
    for seed, metrics in enumerate([{"mae": 2.0, "spearman": 0.5}, {"mae": 4.0}]):
        folder = tmp_path / str(seed)
        folder.mkdir()
        result = {"validation": {"mae": 1.0}, "metrics": metrics, "split": "test", "num_parameters": 3}
        (folder / "result.json").write_text(json.dumps({**result, "peak_memory_bytes": 5}))
        (folder / "metrics.jsonl").write_text("")
    reported = []
    runs = [tmp_path / "0", tmp_path / "1"]
    outcome = sweep._outcome(sweep.Variant("x", ()), runs, ["mae", "spearman"], reported.append)
    assert (outcome.metrics, outcome.headline) == ({"mae": [2.0, 4.0]}, ["mae"])
    assert reported == ["x: spearman: left out, because undefined for some seeds; see result.json."]
