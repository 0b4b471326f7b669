"""Selection of the best evaluations: by the monitored metric, with ties broken by the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attnzoo.config.sections import EvalOptions, TrainOptions
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.files import read_json
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.task import Task
from attnzoo.training.checkpoint import Progress
from attnzoo.variables import STATE


class Rank(NamedTuple):
    """Rank of an evaluation; a larger rank is better.

    Attributes:
        value: the monitored metric, negated if lower is better.
        negative_loss: the negated loss, which breaks ties.
    """

    value: float
    negative_loss: float

    @property
    def is_finite(self) -> bool:
        """Whether both values are finite: otherwise the evaluation is never the best."""
        return math.isfinite(self.value) and math.isfinite(self.negative_loss)


def compute_rank(task: Task, options: EvalOptions, metrics: Mapping[str, Any]) -> Rank:
    """Returns the rank of an evaluation with these metrics.

    Raises:
        UserError: the monitored metric is not among them (exit code 2).
    """
    name, metric = task.monitored(options)
    if name not in metrics:
        known = ", ".join(other for other in task.metrics if other in metrics)
        raise UserError(f"eval.monitor: {name} is undefined for this data; choose one of {known}.")
    value = float(metrics[name])
    return Rank(value if metric.higher_is_better else -value, -float(metrics["loss"]))


def record_evaluation(progress: Progress, options: TrainOptions, rank: Rank) -> bool:
    """Updates best evaluation, early stopping and plateau schedule; returns whether it is the best."""
    is_best = rank.is_finite and (progress.best_rank is None or [*rank] > progress.best_rank)
    if is_best:
        previous = progress.best_rank
        progress.loss_gain = rank.negative_loss - previous[1] if previous else 0.0
        progress.best_step, progress.best_rank = progress.step, [*rank]
    counted = progress.counted_value
    if is_best and (counted is None or not options.min_delta or rank.value > counted + options.min_delta):
        progress.counted_value = rank.value
        progress.evaluations_since_best = progress.evaluations_since_fall = 0
        return True
    progress.evaluations_since_best += 1
    progress.evaluations_since_fall += 1
    if options.schedule == "plateau" and progress.evaluations_since_fall >= options.schedule_patience:
        floor = min(options.min_learning_rate / options.learning_rate, 1.0)
        progress.plateau_factor = max(progress.plateau_factor * options.schedule_factor, floor)
        progress.evaluations_since_fall = 0
    progress.stopped_early = is_patience_exhausted(progress, options)
    return is_best


def is_patience_exhausted(progress: Progress, options: TrainOptions) -> bool:
    """Whether early stopping ends the training."""
    patience = options.early_stopping_patience
    return patience is not None and progress.evaluations_since_best >= patience


def best_value(task: Task, options: EvalOptions, rank: Sequence[float] | None) -> dict[str, float | None]:
    """Returns the monitored metric and its value in the best evaluation; None before the first."""
    name, metric = task.monitored(options)
    if rank is None:
        return {name: None}
    value, _ = rank
    return {name: value if metric.higher_is_better else -value}


def select_steps(run: RunDir, task: Task, best_step: int, options: EvalOptions) -> list[int]:
    """Returns the steps of the evaluations so far whose weights `eval.weights` selects.

    Args:
        run: the run folder.
        task: defines the monitored metric and its direction.
        best_step: step of the best evaluation, 0 if there is none yet.
        options: the eval section.
    """
    evaluated = run.evaluated_steps()
    if options.weights == "average":
        return evaluated[-options.average :]
    if options.weights == "average_best":
        ranks = {step: _saved_rank(run, task, step, options) for step in evaluated}
        finite = [step for step in evaluated if ranks[step].is_finite] or evaluated
        return sorted(sorted(finite, key=lambda step: (ranks[step], step))[-options.average :])
    return [best_step] if options.weights == "best" and best_step else evaluated[-1:]


def _saved_rank(run: RunDir, task: Task, step: int, options: EvalOptions) -> Rank:
    """Returns the rank of an evaluation whose weights were saved."""
    path = run.weights(step) / STATE
    try:
        return compute_rank(task, options, read_json(path)["metrics"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: damaged: unexpected content.", EXIT_DAMAGED) from None
