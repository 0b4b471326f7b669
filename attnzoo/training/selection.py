"""Which evaluations are the best: by the monitored metric, and by the loss where that is equal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attnzoo.config.sections import EvalOptions
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.files import read_json
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.task import Task
from attnzoo.variables import STATE


class Rank(NamedTuple):
    """How good an evaluation is; of two the larger one is better.

    Attributes:
        value: of the monitored metric, negated where lower is better.
        ease: the negated loss, by which equal values are told apart.
    """

    value: float
    ease: float

    @property
    def is_finite(self) -> bool:
        """Whether both are numbers: nothing else is ever the best."""
        return math.isfinite(self.value) and math.isfinite(self.ease)


def rank_of(task: Task, options: EvalOptions, metrics: Mapping[str, Any]) -> Rank:
    """Returns the rank of an evaluation by its metrics.

    Raises:
        UserError: what the config monitors is not among them (exit code 2).
    """
    name, metric = task.monitored(options)
    if name not in metrics:
        known = ", ".join(other for other in task.metrics if other in metrics)
        raise UserError(f"eval.monitor: {name} is not known of this data; choose one of {known}.")
    value = float(metrics[name])
    return Rank(value if metric.higher_is_better else -value, -float(metrics["loss"]))


def best_value(task: Task, options: EvalOptions, rank: Sequence[float] | None) -> dict[str, float | None]:
    """Returns the monitored metric and its value in the best evaluation; None before the first."""
    name, metric = task.monitored(options)
    if rank is None:
        return {name: None}
    value, _ = rank
    return {name: value if metric.higher_is_better else -value}


def chosen_steps(run: RunDir, task: Task, best_step: int, options: EvalOptions) -> list[int]:
    """Returns the evaluations whose weights make the finished run, as `eval.weights` says, as they stand now.

    Args:
        run: the run folder.
        task: says which metric selects, and its direction.
        best_step: the best evaluation, 0 if there is none yet.
        options: the eval section.
    """
    evaluated = run.evaluated_steps()
    if options.weights == "average":
        return evaluated[-options.average :]
    if options.weights == "average_best":
        ranks = {step: _kept_rank(run, task, step, options) for step in evaluated}
        finite = [step for step in evaluated if ranks[step].is_finite] or evaluated
        return sorted(sorted(finite, key=lambda step: (ranks[step], step))[-options.average :])
    return [best_step] if options.weights == "best" and best_step else evaluated[-1:]


def _kept_rank(run: RunDir, task: Task, step: int, options: EvalOptions) -> Rank:
    """Returns the rank of an evaluation when its weights were kept."""
    path = run.weights(step) / STATE
    try:
        return rank_of(task, options, read_json(path)["metrics"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: damaged: not what a run writes.", EXIT_DAMAGED) from None
