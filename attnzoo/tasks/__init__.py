"""Tasks, one file and one class each: everything that depends on what a model is trained to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnzoo import catalog

if TYPE_CHECKING:
    from attnzoo.tasks.task import Task


def load(name: str) -> Task:
    """Returns a task by its name.

    Raises:
        UserError: there is no such task; suggests a similar name.
    """
    return catalog.load_class("tasks", name)()
