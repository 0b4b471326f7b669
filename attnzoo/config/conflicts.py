"""Options that are valid by themselves but do not fit together: tasks, features and options report them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnzoo.config.base import Problem, within
from attnzoo.config.problems import Problems
from attnzoo.config.sections import ModelOptions
from attnzoo.config.source import Document
from attnzoo.suggest import did_you_mean


def add_conflicts(task: Any, options: Any, document: Document, problems: Problems) -> None:
    """Adds the problems that the task, its features and the groups of options report.

    Args:
        task: of the model.
        options: all of them, each valid by itself: an object with `data`, `model`, `train` and `eval`.
        document: says where they were written.
        problems: takes what is wrong.
    """
    # Several features may say the same of one key.
    conflicts = dict(_of_data(task, options.data))
    for path, what in [*conflicts.items(), *_of_others(task, options)]:
        problems.add(document.origin_near(path), path, what)


def _of_data(task: Any, data: Any) -> Iterator[Problem]:
    for feature in task.features.values():
        yield from ((("data", key), what) for key, what in feature.option_problems(data))
    yield from within(("data",), data.problems(task.features))


def _of_others(task: Any, options: Any) -> Iterator[Problem]:
    if isinstance(options.model, ModelOptions):
        yield from within(("model",), options.model.problems(options))
    yield from within(("train",), options.train.problems())
    yield from _of_monitor(task, options)
    yield from task.config_problems(options)


def _of_monitor(task: Any, options: Any) -> Iterator[Problem]:
    """Yields a monitored metric that the task does not have, or not at every evaluation."""
    name = options.eval.monitor
    if name is None:
        return
    metric = task.metrics.get(name)
    if metric is None:
        known = ", ".join(task.metrics)
        yield (
            ("eval", "monitor"),
            f"'{name}' is no metric of {task.name}{did_you_mean(name, task.metrics)}; choose one of {known}",
        )
    elif metric.needs_predictions and options.eval.decode != "every":
        yield ("eval", "monitor"), f"{name} is only known at every evaluation with eval.decode: every"
