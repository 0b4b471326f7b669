"""Metrics of regression: errors, explained variance and rank correlation, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from attnzoo.pictures import DOTS_PER_INCH, TENSORBOARD_INCHES, render
from attnzoo.tasks.types import Comparison

NORMAL_95 = 1.96
"""Half the width of the 95 % interval of a normal distribution, in standard errors."""
RESAMPLES = 1000
"""Number of bootstrap resamples of a comparison, drawn with a fixed seed."""


def compute_metrics(predictions: np.ndarray, numbers: np.ndarray) -> dict[str, float]:
    """Computes the metrics of predicted numbers.

    Args:
        predictions: <float64>[examples].
        numbers: <float>[examples], true numbers.

    Returns:
        `mae` (mean absolute error) and `rmse` (root mean squared error), in the unit of the numbers, `r2`
        (fraction of the variance that is explained, at most 1), and `spearman` (rank correlation, -1 to 1).
        `mae_interval`, `rmse_interval` and `spearman_interval` are half the widths of 95 % intervals. Values
        that are undefined (for one example, or if all predictions are equal) are left out.

    Examples:
        >>> metrics = compute_metrics(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0]))
        >>> round(metrics["mae"], 3), round(metrics["r2"], 3), metrics["spearman"]
        (0.667, 0.75, 1.0)

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
    # Rounding can give equal numbers a standard deviation above 0; their range is 0.
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
        numbers: <float>[examples], true numbers.

    Returns:
        One comparison per system, and a description of the test.

    Examples:
        >>> truth = np.array([1.0, 2.0, 3.0])
        >>> comparisons, signature = compare([("exact", truth), ("off by one", truth + 1.0)], truth)
        >>> [(one.name, one.value) for one in comparisons], signature
        ([('exact', 0.0), ('off by one', 1.0)], 'mae of 3 examples, 1000 resamples')

    Reference: Koehn 2004, https://aclanthology.org/W04-3250
    """
    errors = [np.abs(predictions - numbers) for _, predictions in systems]
    comparisons: list[Comparison] = []
    for (name, _), own in zip(systems, errors, strict=True):
        p_value = _p_value(own - errors[0]) if comparisons else None
        comparisons.append(Comparison(name, "mae", float(own.mean()), _interval(own), p_value))
    return comparisons, f"mae of {len(numbers)} examples, {RESAMPLES} resamples"


def _p_value(differences: np.ndarray) -> float:
    """Returns the probability of a mean difference at least this large if the true one is 0."""
    mean = abs(float(differences.mean()))
    generator, count = np.random.default_rng(0), len(differences)
    centered = differences - differences.mean()
    drawn = [abs(float(centered[generator.integers(0, count, count)].mean())) for _ in range(RESAMPLES)]
    return (1 + sum(one >= mean for one in drawn)) / (1 + RESAMPLES)


def _interval(values: np.ndarray) -> float:
    """Returns half the width of the 95 % interval of a mean."""
    return float(NORMAL_95 * values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def draw(predictions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Draws predicted over true numbers, with the diagonal, <uint8>[height, width, 3]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(TENSORBOARD_INCHES, TENSORBOARD_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(numbers, predictions, s=12, alpha=0.4, linewidths=0)
    ends = [float(min(numbers.min(), predictions.min())), float(max(numbers.max(), predictions.max()))]
    axes.plot(ends, ends, color="gray", linewidth=1)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    return render(figure)
