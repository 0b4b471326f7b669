import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from attnzoo.tasks import regression_metrics
from attnzoo.tasks.regression_metrics import compare, compute_metrics

INTERVALS = {"mae_interval", "rmse_interval", "spearman_interval"}


def drawn(count=211, seed=3, noise=0.5):
    """Predictions that are the numbers and some noise, and the numbers."""
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=count).astype(np.float32)
    return numbers + generator.normal(size=count) * noise, numbers


def test_the_metrics_are_those_of_scikit_learn_and_scipy():
    predictions, numbers = drawn()
    result = compute_metrics(predictions, numbers)
    assert set(result) == {"mae", "rmse", "r2", "spearman"} | INTERVALS
    assert result["mae"] == pytest.approx(metrics.mean_absolute_error(numbers, predictions))
    assert result["rmse"] == pytest.approx(metrics.root_mean_squared_error(numbers, predictions))
    assert result["r2"] == pytest.approx(metrics.r2_score(numbers, predictions))
    assert result["spearman"] == pytest.approx(stats.spearmanr(numbers, predictions).statistic)
    errors = np.abs(predictions - numbers)
    low, high = stats.norm.interval(0.95, errors.mean(), stats.sem(errors))
    assert result["mae_interval"] == pytest.approx((high - low) / 2, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(0.125, 64.0), st.integers(0, 100))
def test_a_shift_of_all_numbers_changes_nothing_and_another_unit_the_errors_alone(shift, unit, seed):
    predictions, numbers = drawn(seed=seed)
    numbers = numbers.astype(np.float64)
    before, after = (
        compute_metrics(predictions, numbers),
        compute_metrics(unit * predictions + shift, unit * numbers + shift),
    )
    for name, value in before.items():
        factor = unit if name.startswith(("mae", "rmse")) else 1.0
        assert after[name] == pytest.approx(factor * value, rel=1e-6), name


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 31), st.floats(0.0, 5.0))
def test_bounds_that_always_hold(seed, count, noise):
    predictions, numbers = drawn(count, seed, noise)
    result = compute_metrics(predictions, numbers)
    assert 0 <= result["mae"] <= result["rmse"] * (1 + 1e-12)
    assert result["r2"] <= 1
    assert abs(result["spearman"]) <= 1 + 1e-12
    assert all(math.isfinite(value) for value in result.values())
    assert all(result[name] >= 0 for name in INTERVALS & set(result))


def test_always_predicting_the_mean_explains_nothing_and_has_no_ranks():
    numbers = drawn()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = compute_metrics(np.full(len(numbers), numbers.mean(dtype=np.float64)), numbers)
    assert result["r2"] == pytest.approx(0.0, abs=1e-9)
    assert result["rmse"] == pytest.approx(numbers.std(dtype=np.float64))
    assert "spearman" not in result


def test_what_cannot_be_known_is_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute_metrics(np.array([3.0]), np.array([5.0], np.float32)) == {"mae": 2.0, "rmse": 2.0}
        same = compute_metrics(np.array([3.0, 4.0]), np.array([5.0, 5.0], np.float32))
        assert set(same) == {"mae", "rmse", "mae_interval", "rmse_interval"}
        # Equal numbers, of which a deviation is 0 or not by rounding.
        for one in (0.1, 4.1, 123.456):
            numbers = np.full(37, one, np.float32)
            assert set(compute_metrics(np.arange(37.0), numbers)) == set(same)
            assert set(compute_metrics(numbers.astype(float), np.arange(37.0))) == {*same, "r2"}
        right = compute_metrics(np.arange(7.0), np.arange(7, dtype=np.float32))
    expected = {"mae": 0.0, "rmse": 0.0, "r2": 1.0, "mae_interval": 0.0, "rmse_interval": 0.0}
    assert right == pytest.approx({**expected, "spearman": 1.0})


@pytest.mark.parametrize(
    ("metric", "truth"), [("mae", math.sqrt(2 / math.pi)), ("rmse", 1.0), ("spearman", None)]
)
def test_intervals_cover_the_truth_about_95_times_in_100(metric, truth):
    generator = np.random.default_rng(7)
    simulations, count, correlation = 701, 211, 0.6
    if truth is None:  # of two normal variables, Pearson 1907
        truth = 6 / math.pi * math.asin(correlation / 2)
    covered = 0
    for _ in range(simulations):
        numbers = generator.normal(size=count)
        if metric == "spearman":
            others = generator.normal(size=count)
            predictions = correlation * numbers + math.sqrt(1 - correlation**2) * others
        else:
            predictions = numbers + generator.normal(size=count)
        result = compute_metrics(predictions, numbers)
        covered += abs(result[metric] - truth) <= result[f"{metric}_interval"]
    assert covered / simulations == pytest.approx(0.95, abs=0.025)


def test_a_clear_difference_is_significant_and_none_is_not():
    good, numbers = drawn(noise=0.3)
    bad, _ = drawn(noise=0.9)
    result, how = compare([("good", good), ("bad", bad), ("again", good)], numbers)
    assert [(one.name, one.metric) for one in result] == [("good", "mae"), ("bad", "mae"), ("again", "mae")]
    assert [one.value for one in result] == [
        pytest.approx(np.abs(predictions - numbers).mean()) for predictions in (good, bad, good)
    ]
    assert result[0].interval == pytest.approx(compute_metrics(good, numbers)["mae_interval"])
    assert result[0].p_value is None
    assert result[1].p_value < 0.01
    assert result[2].p_value == 1.0
    assert how == "mae of 211 examples, 1000 resamples"


def test_p_values_of_systems_that_differ_by_chance_alone_are_spread_evenly(monkeypatch):
    monkeypatch.setattr(regression_metrics, "RESAMPLES", 199)
    generator, numbers = np.random.default_rng(11), np.zeros(101, np.float32)
    p_values = []
    for _ in range(211):
        systems = [(name, generator.normal(size=101)) for name in ("one", "other")]
        p_values.append(compare(systems, numbers)[0][1].p_value)
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.04)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_a_picture_has_the_points_and_the_line_of_equal_numbers():
    picture = regression_metrics.draw(*drawn())
    assert picture.dtype == np.uint8
    assert picture.shape == (350, 350, 3)
    assert (picture < 128).any()
    colored = (np.ptp(picture.astype(int), axis=2) > 40).sum()
    assert colored > 100
