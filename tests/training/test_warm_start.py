"""Starting from another run, and the weights that a finished run takes."""

import json

import numpy as np
import pytest

from attnzoo import tasks
from attnzoo.errors import UserError
from attnzoo.runs.folder import RunDir
from attnzoo.runs.trained import load_trained
from attnzoo.training import selection
from attnzoo.training.run import train
from attnzoo.variables import read_tensors
from tests import recipes
from tests.training.interrupted import crash, outcome, without_xla


@pytest.fixture
def parent(runs):
    return runs["translation"]


def test_average_best_is_the_mean_of_the_best_evaluations(parent):
    lines = [json.loads(line) for line in (parent / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if line["split"] == "validation"}
    best = sorted(sorted(losses, key=losses.get)[:2])
    assert json.loads((parent / "result.json").read_text())["weights"] == (
        f"average of steps {best[0]}, {best[1]}"
    )
    run = RunDir(parent)
    task, options = tasks.load("translation"), load_trained(parent).config.eval
    assert selection.select_steps(run, task, best[0], options) == best
    limit = 1 << 30
    each = [read_tensors(run.weights(step), limit)[0] for step in best]
    for name, value in read_tensors(run.final, limit)[0].items():
        np.testing.assert_allclose(value, (each[0][name] + each[1][name]) / 2, atol=1e-6)


@pytest.mark.slow
def test_a_run_starts_with_weights_and_vocabulary_of_another_also_after_a_crash(
    parent, tmp_path, monkeypatch, capsys
):
    overrides = ("train.xla=false", "train.steps=1", "train.learning_rate=1e-9", f"train.init_from={parent}")
    resolved = recipes.translation_config(tmp_path, *overrides)
    crash(resolved, tmp_path / "run", monkeypatch, 0)
    assert RunDir(tmp_path / "run").config.is_file()
    train(resolved, tmp_path / "run")
    assert capsys.readouterr().out.count("tensors from") == 2
    old, new = load_trained(parent), load_trained(tmp_path / "run")
    assert new.info.features == old.info.features
    for one, other in zip(old.model.get_weights(), new.model.get_weights(), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_ratios_of_ngrams_are_counted_once_and_kept(tmp_path, monkeypatch):
    options = ("model.naive_bayes=2", "model.naive_bayes_buckets=1009", "train.ema_decay=0.9")
    resolved = without_xla(tmp_path, *options)
    train(resolved, tmp_path / "whole")
    crash(resolved, tmp_path / "run", monkeypatch, 0)
    crash(resolved, tmp_path / "run", monkeypatch, 3)
    train(resolved, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    ratios = load_trained(tmp_path / "run").model.get_layer("naive_bayes").ratios.numpy()
    assert np.count_nonzero(ratios) > 10


@pytest.mark.slow
def test_weights_that_do_not_match_are_initialized_randomly_and_named(parent, tmp_path, capsys):
    overrides = ("train.xla=false", "train.steps=1", "model.feed_forward_units=24")
    train(recipes.translation_config(tmp_path, *overrides, f"train.init_from={parent}"), tmp_path / "run")
    out = capsys.readouterr().out
    assert "randomly initialized" in out
    assert "feed_forward" in out


@pytest.mark.parametrize("what", ["missing", "other task", "no fit"])
def test_a_run_that_cannot_be_started_from_is_one_line(parent, tmp_path, what):
    config, origin, expected = recipes.translation_config, parent, "none of its weights match"
    overrides = ["train.xla=false", "train.steps=1"]
    if what == "missing":
        origin, expected = tmp_path / "nothing", "not found; is this a run folder"
    elif what == "other task":
        config, expected = recipes.text_config, "choose a run of the same task"
    else:
        overrides += ["model.units=8", "model.num_encoder_layers=2", "model.feed_forward_units=4"]
    with pytest.raises(UserError, match=expected):
        train(config(tmp_path, *overrides, f"train.init_from={origin}"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
