"""What a person reads while a run trains, and at its end."""

import math
import time

import pytest

from attnzoo.training import overfitting, summary
from attnzoo.training.checkpoint import Progress
from attnzoo.training.console import Display, EvaluationProgress
from tests import recipes


def test_the_time_left_counts_neither_compiling_nor_what_was_done_before(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = Display(total=1000, done=900, unit="examples")
    clock[0] = 50.0  # the first batch is ready
    display.compiling(1, 1)
    # Seconds, step, and seconds and number of the steps that have compiled: the other steps take 2 s each.
    for seconds, step, *compiled in ((350.0, 901, 300.0, 1), (368.0, 910, 300.0, 1), (487.0, 920, 401.0, 2)):
        clock[0] = seconds
        display.step(step, 0.5, 100.0, *compiled)
    clock[0] = 648.0
    display.step(1000, 0.5, 100.0, *compiled)
    printed = [line.rpartition("examples/s")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert printed == ["", "3:00 left", "2:40 left", "0:00 left"]


def test_each_length_that_compiles_is_announced_where_there_are_several(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = Display(total=1000, done=0, unit="examples")
    for seconds, number in ((3.0, 1), (7.0, 2), (21.0, 3)):
        clock[0] = seconds
        display.compiling(number, 3)
    assert capsys.readouterr().out.splitlines() == [
        "compiling length 1 of 3  0:00",
        "compiling length 3 of 3  0:18",
    ]
    Display(total=1000, done=0, unit="examples").compiling(1, 1)
    assert capsys.readouterr().out == ""
    # The first step accumulates the gradients of batches of two lengths.
    Display(total=1000, done=0, unit="examples").compiling(2, 3)
    assert capsys.readouterr().out == "compiling length 2 of 3  0:00\n"


def test_a_long_evaluation_says_now_and_then_how_far_it_is(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = EvaluationProgress(print)
    for number in range(40):
        clock[0] = 30.0 * (number > 0) + number  # the first batch takes 30 s longer: it is compiled
        progress("evaluating", number, 40)
    assert capsys.readouterr().out.splitlines() == [
        "evaluating: batch 1 of 40",
        "evaluating: batch 11 of 40  0:29 left",
        "evaluating: batch 21 of 40  0:19 left",
        "evaluating: batch 31 of 40  0:09 left",
    ]


def test_a_loss_that_keeps_rising_is_said_once_with_what_to_try(tmp_path):
    config = recipes.text_config(tmp_path).config
    losses = [0.5, 0.3, 0.31, 0.36, 0.4, 0.5, 0.6, 0.2, 0.3, 0.4, 0.5]
    said = [count for count in range(len(losses) + 1) for _ in overfitting.advice(losses[:count], config)]
    assert said == [5]
    (line,) = overfitting.advice(losses[:5], config)
    assert line.startswith("validation loss has risen 3 times in a row, to 0.4000 from its minimum 0.3000: ")
    for option in ("model.dropout (now 0.1)", "train.weight_decay (now 0)", "early_stopping_patience=3"):
        assert option in line
    assert not [*overfitting.advice([0.3, 0.301, 0.302, 0.303], config)]  # by chance


def test_a_loss_that_is_not_finite_changes_no_advice(tmp_path):
    """A run that continues reads the finite losses alone from its records."""
    config = recipes.text_config(tmp_path).config
    losses = [math.nan, 0.5, 0.3, 0.31, math.inf, 0.36, 0.4, math.nan, 0.5, 0.6]
    said = {count: [*overfitting.advice(losses[:count], config)] for count in range(len(losses) + 1)}
    assert [count for count, lines in said.items() if lines] == [7]
    assert said[7] == [*overfitting.advice([0.5, 0.3, 0.31, 0.36, 0.4], config)]


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
