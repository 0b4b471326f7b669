"""How near predicted numbers are to the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from attnzoo.pictures import BOARD_INCHES, DOTS_AN_INCH, pixels_of
from attnzoo.tasks.task import Comparison

NORMAL_95 = 1.96
"""Half the width of the 95 % interval of a normal distribution, in standard errors."""
RESAMPLES = 1000
"""Bootstrap resamples of a comparison, from one fixed seed."""


def metrics_of(predictions: np.ndarray, numbers: np.ndarray) -> dict[str, float]:
    """Scores predicted numbers.

    Args:
        predictions: <float64>[examples].
        numbers: <float>[examples], the true ones.

    Returns:
        `mae` (mean absolute error) and `rmse` (root of the mean square error), in the unit of the numbers,
        `r2` (fraction of the variance that is explained, at most 1), and `spearman` (correlation of the
        ranks, -1 to 1); of the first two and the last, `..._interval` is half the width of the 95 % interval.
        What cannot be known (of one example, or of predictions that are all the same) is left out.

    Reference: interval of the rank correlation: Bonett & Wright 2000,
        https://doi.org/10.1007/BF02294183; those of the errors: the central limit theorem, and for the root
        the delta method.
    """
    numbers = numbers.astype(np.float64)
    errors = predictions - numbers
    count, square = len(errors), float(np.mean(errors**2))
    metrics = {"mae": float(np.abs(errors).mean()), "rmse": math.sqrt(square)}
    if count > 1:
        metrics["mae_interval"] = _interval(np.abs(errors))
        metrics["rmse_interval"] = _interval(errors**2) / (2.0 * math.sqrt(square)) if square else 0.0
    # The deviation of equal numbers may be above 0 by rounding; their range is 0.
    if np.ptp(numbers) > 0.0:
        metrics["r2"] = 1.0 - square / float(np.var(numbers))
        if np.ptp(predictions) > 0.0:
            rank = float(stats.spearmanr(predictions, numbers).statistic)
            metrics["spearman"] = rank
            if count > 3 and abs(rank) < 1.0:
                center = math.atanh(rank)
                half = NORMAL_95 * math.sqrt((1.0 + rank**2 / 2.0) / (count - 3))
                metrics["spearman_interval"] = (math.tanh(center + half) - math.tanh(center - half)) / 2.0
    return metrics


def compare(systems: Sequence[tuple[str, np.ndarray]], numbers: np.ndarray) -> tuple[list[Comparison], str]:
    """Compares the mean absolute error of systems with that of the first by paired bootstrap resampling.

    Args:
        systems: name and predictions <float64>[examples] of each, two or more.
        numbers: <float>[examples], the true ones.

    Returns:
        One comparison a system, and how they were made.

    Reference: Koehn 2004, https://aclanthology.org/W04-3250
    """
    errors = [np.abs(predictions - numbers) for _, predictions in systems]
    comparisons: list[Comparison] = []
    for (name, _), own in zip(systems, errors, strict=True):
        p_value = _p_value(own - errors[0]) if comparisons else None
        comparisons.append(Comparison(name, "mae", float(own.mean()), _interval(own), p_value))
    return comparisons, f"mae of {len(numbers)} examples, {RESAMPLES} resamples"


def _p_value(differences: np.ndarray) -> float:
    """Returns how likely so large a mean difference is if there was none."""
    mean = abs(float(differences.mean()))
    generator, count = np.random.default_rng(0), len(differences)
    centered = differences - differences.mean()
    drawn = [abs(float(centered[generator.integers(0, count, count)].mean())) for _ in range(RESAMPLES)]
    return (1 + sum(one >= mean for one in drawn)) / (1 + RESAMPLES)


def _interval(values: np.ndarray) -> float:
    """Returns half the width of the 95 % interval of a mean."""
    return float(NORMAL_95 * values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def draw(predictions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Draws predicted numbers against true ones, <uint8>[height, width, 3]; the line is of equal ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(BOARD_INCHES, BOARD_INCHES), dpi=DOTS_AN_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(numbers, predictions, s=12, alpha=0.4, linewidths=0)
    ends = [float(min(numbers.min(), predictions.min())), float(max(numbers.max(), predictions.max()))]
    axes.plot(ends, ends, color="gray", linewidth=1)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    return pixels_of(figure)
