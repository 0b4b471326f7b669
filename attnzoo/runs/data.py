"""The raw examples that a config names."""

from __future__ import annotations

from pathlib import Path

from attnzoo import catalog, tasks
from attnzoo.config import RunConfig
from attnzoo.data.splits import DataSplits, Split, split_validation
from attnzoo.errors import UserError
from attnzoo.tasks.task import Task


def task_of(config: RunConfig) -> Task:
    """Returns the task of a config's model."""
    return tasks.load(catalog.load("models", config.model.name).TASK)


def load_splits(config: RunConfig) -> DataSplits:
    """Loads the raw examples that a config names, with a validation split."""
    features = task_of(config).features
    splits = catalog.load("datasets", config.data.name).load(config.data, features, config.seed)
    return split_validation(splits, config.data.validation_fraction, config.seed)


def split_of(splits: DataSplits, name: str, folder: Path) -> Split:
    """Returns a split by its name.

    Raises:
        UserError: the data of the run in `folder` has no such split.
    """
    named = splits.named()
    if name not in named:
        raise UserError(f"{folder}: the data has no split '{name}'; it has {', '.join(named)}.")
    return named[name]
