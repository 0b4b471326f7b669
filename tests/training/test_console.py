"""What a person reads while a run trains, and at its end."""

import time

import pytest

from attnzoo.training import summary
from attnzoo.training.checkpoint import Progress
from attnzoo.training.console import Display
from tests import recipes


def test_the_time_left_counts_neither_compiling_nor_what_was_done_before(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = Display(total=1000, done=900, unit="examples")
    for seconds, step in ((300.0, 910), (320.0, 920), (340.0, 930), (480.0, 1000)):
        clock[0] = seconds
        display.step(step, 0.5, 100.0)
    printed = [line.rpartition("examples/s")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert printed == ["", "2:40 left", "2:20 left", "0:00 left"]


@pytest.mark.parametrize(
    ("options", "progress", "expected"),
    [
        (
            (),
            {"best_step": 40, "loss_gain": 0.1},
            "with --set train.epochs=5 --allow-changed train.epochs",
        ),
        (
            ("train.steps=40",),
            {"best_step": 40, "loss_gain": 0.1},
            "--set train.steps=60 --allow-changed",
        ),
        (
            (),
            {"best_step": 20},
            "no evaluation after step 20 was better: train.early_stopping_patience=3",
        ),
        ((), {"best_step": 30}, None),
        ((), {"best_step": 40, "loss_gain": 0.001}, None),
        ((), {"best_step": 40, "loss_gain": 0.1, "evaluations": 2}, None),
        ((), {"best_step": 40, "loss_gain": 0.1, "stopped_early": True}, None),
        (("train.early_stopping_patience=9",), {"best_step": 20}, None),
        (("eval.weights=average",), {"best_step": 20}, None),
    ],
)
def test_a_training_that_is_too_short_or_far_too_long_gets_advice(tmp_path, options, progress, expected):
    config = recipes.text_config(tmp_path, *options).config
    advice = list(summary.advice(Progress(**{"step": 40, "evaluations": 4, **progress}), config, 40))
    if expected is None:
        assert advice == []
    else:
        (line,) = advice
        assert expected in line
