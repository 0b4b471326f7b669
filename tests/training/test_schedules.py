import math

import pytest

from attnzoo.config.sections import TrainOptions
from attnzoo.training.schedules import learning_rate


@pytest.mark.parametrize("schedule", ["constant", "cosine", "inverse_square_root", "step", "plateau"])
def test_every_schedule_rises_linearly_to_the_peak(schedule):
    options = TrainOptions(schedule=schedule, learning_rate=0.5, warmup_steps=5)
    rates = [learning_rate(options, step, 97) for step in range(1, 6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_cosine_falls_from_the_peak_to_nearly_zero():
    options = TrainOptions(schedule="cosine", learning_rate=2.0)
    assert learning_rate(options, 1, 100) == pytest.approx(2.0)
    assert learning_rate(options, 51, 100) == pytest.approx(1.0)
    assert learning_rate(options, 100, 100) == pytest.approx(1 + math.cos(math.pi * 0.99), abs=1e-9)


def test_inverse_square_root_follows_the_paper():
    options = TrainOptions(schedule="inverse_square_root", learning_rate=0.005, warmup_steps=2000)
    assert learning_rate(options, 8000, 10**6) == pytest.approx(0.0025)


def test_step_falls_by_its_factor():
    options = TrainOptions(
        schedule="step", learning_rate=1.0, schedule_every=10, schedule_factor=0.1, warmup_steps=3
    )
    assert [learning_rate(options, step, 99) for step in (4, 13, 14, 24)] == pytest.approx([1, 1, 0.1, 0.01])


def test_plateau_uses_the_factor_it_is_given():
    options = TrainOptions(schedule="plateau", learning_rate=1.0)
    assert learning_rate(options, 7, 99, plateau_factor=0.25) == 0.25


def test_without_warm_up_the_first_step_has_the_peak():
    assert learning_rate(TrainOptions(learning_rate=0.3), 1, 10) == 0.3


@pytest.mark.parametrize("schedule", ["constant", "cosine", "inverse_square_root", "step", "plateau"])
def test_a_cooldown_changes_the_last_steps_alone_and_falls_linearly(schedule):
    plain = TrainOptions(schedule=schedule, learning_rate=0.5, warmup_steps=5)
    cooled = plain.model_copy(update={"cooldown_steps": 4})
    steps = range(1, 51)
    before = [learning_rate(plain, step, 50) for step in steps]
    after = [learning_rate(cooled, step, 50) for step in steps]
    assert after[:46] == before[:46]
    assert [a / b for a, b in zip(after[46:], before[46:], strict=True)] == pytest.approx(
        [0.8, 0.6, 0.4, 0.2]
    )


def test_a_training_that_continues_with_a_cooldown_repeats_the_rates_of_the_longer_one():
    first = TrainOptions(schedule="inverse_square_root", learning_rate=0.004, warmup_steps=20)
    longer = first.model_copy(update={"cooldown_steps": 30})
    assert [learning_rate(first, step, 100) for step in range(1, 101)] == [
        learning_rate(longer, step, 130) for step in range(1, 101)
    ]
