"""Refuses options of a request that do nothing for a task. Imports no TensorFlow."""

from __future__ import annotations

from collections import defaultdict
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


def _owners(field: str) -> str:
    """Returns the names of the tasks that have an option."""
    names = [
        name for name in catalog.names("tasks") if field in catalog.load_class("tasks", name).answer_options
    ]
    return ", ".join(names)


def _joined(options: list[str]) -> str:
    """Returns "--a is", or "--a and --b are"."""
    if len(options) == 1:
        return f"{options[0]} is"
    return f"{', '.join(options[:-1])} and {options[-1]} are"
