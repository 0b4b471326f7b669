"""Refuses requests that a task does not fulfill, and options that do nothing for it. No TensorFlow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.errors import UserError
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Request


def refuse_unused(folder: Path, task: Task, config: RunConfig, request: Request) -> None:
    """Refuses a request with options that have no effect on answers of a run.

    Args:
        folder: the run folder, for messages.
        task: the task of the run.
        config: its config.
        request: options of the prediction.

    Raises:
        UserError: it names the options, and the tasks that have them.
    """
    foreign: dict[str, list[str]] = defaultdict(list)
    for field, option in request.given_options().items():
        if field not in task.answer_options:
            foreign[_owners(field)].append(option)
    problems = [f"{_joined(options)} only for {owners}" for owners, options in foreign.items()]
    if problems:
        raise UserError(f"{folder}: a run of {task.name}; {'; '.join(problems)}.")
    for problem in task.request_problems(config, request):
        raise UserError(f"{folder}: {problem}.")


def refuse_unscored(folder: Path, task: Task) -> None:
    """Refuses to score given answers for a task that does not do this.

    Raises:
        UserError: it names the tasks that do.
    """
    if task.scored_name is None:
        owners = _tasks_with(lambda other: other.scored_name is not None)
        raise UserError(f"{folder}: a run of {task.name}; given answers are scored only for {owners}.")


def _owners(field: str) -> str:
    """Returns the names of the tasks that have an option."""
    return _tasks_with(lambda task: field in task.answer_options)


def _tasks_with(fits: Callable[[type[Task]], bool]) -> str:
    """Returns the names of the tasks for which `fits` is true."""
    return ", ".join(name for name in catalog.names("tasks") if fits(catalog.load_class("tasks", name)))


def _joined(options: list[str]) -> str:
    """Returns "--a is", or "--a and --b are"."""
    if len(options) == 1:
        return f"{options[0]} is"
    return f"{', '.join(options[:-1])} and {options[-1]} are"
