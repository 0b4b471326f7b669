"""Loads the task and the raw examples of a config."""

from __future__ import annotations

from pathlib import Path

from attnzoo import catalog, tasks
from attnzoo.config import RunConfig
from attnzoo.data.splits import DataSplits, Split, split_validation
from attnzoo.errors import UserError
from attnzoo.tasks.task import Task


def load_task(config: RunConfig) -> Task:
    """Returns the task of the model that a config names."""
    return tasks.load(catalog.load("models", config.model.name).TASK)


def load_splits(config: RunConfig) -> DataSplits:
    """Loads the raw examples of a config; a missing validation split is taken from train."""
    features = load_task(config).features
    splits = catalog.load("datasets", config.data.name).load(config.data, features, config.seed)
    return split_validation(splits, config.data.validation_fraction, config.seed)


def select_split(splits: DataSplits, name: str, folder: Path) -> Split:
    """Returns a split by its name.

    Raises:
        UserError: the data of the run `folder` has no such split.
    """
    named = splits.named()
    if name not in named:
        raise UserError(f"{folder}: the data has no split '{name}'; it has {', '.join(named)}.")
    return named[name]
