"""`attnzoo compare`: whether the metrics of runs differ significantly."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.data import examples as data_examples
from attnzoo.data.splits import Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature
from attnzoo.features.info import DataInfo
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.data import load_splits, select_split
from attnzoo.runs.trained import load_trained
from attnzoo.tasks.types import Comparison


def compare(folders: Sequence[Path], split: str = "test") -> tuple[list[Comparison], str]:
    """Compares runs with the first one by their task's metric.

    Each run predicts with its own `eval` section; predictions are scored with that of the first run.

    Args:
        folders: two or more runs of one task with the same split.
        split: "train", "validation" or "test".

    Returns:
        One comparison per run, and a description of the test.

    Raises:
        UserError: no such run or split, a task without comparison, different splits, fewer than two runs
            (2), damaged weights (4).
    """
    if len(folders) < 2:
        raise UserError(f"{folders[0]}: a comparison needs two or more runs; name another one.")
    systems: list[tuple[str, Any]] = []
    first: data_examples.Examples | None = None
    for folder in folders:
        trained = load_trained(folder)
        task, info = trained.task, trained.info
        if task.comparison_metric is None:
            raise UserError(
                f"{folder}: runs of {task.name} cannot be compared; `attnzoo eval` shows their metrics."
            )
        examples = data_examples.encode_split(select_split(load_splits(trained.config), split, folder), info)
        if first is None:
            first, first_trained = examples, trained
        if task.name != first_trained.task.name:
            raise UserError(
                f"{folder}: a run of {task.name}, but {folders[0]} is one of {first_trained.task.name}; "
                "compare runs of the same task."
            )
        if not _same(examples.raw, first.raw, info):
            raise UserError(
                f"{folder}: its {split} split differs from that of {folders[0]}; compare runs on the same "
                "data."
            )
        xla = trained.is_worth_compiling(len(examples))
        predict = task.predict_fn([trained.model], info, trained.config.eval, xla)
        predictions = task.predictions(predict, examples, info, evaluation_sizes(trained.config))
        systems.append((str(folder), predictions))
    assert first is not None
    return first_trained.task.compare(systems, first, first_trained.info, first_trained.config.eval)


def _same(one: Split, other: Split, info: DataInfo) -> bool:
    """Whether two splits have the same examples in the same order."""
    return one.names == other.names and all(
        _same_column(one.column(name), other.column(name), info.features[name]) for name in one.names
    )


def _same_column(one: Column, other: Column, feature: Feature) -> bool:
    if one.dtype != object:
        return np.array_equal(one, other)
    # One after the other, as the images of a split may not fit into memory.
    pairs = itertools.zip_longest(feature.fingerprint(one), feature.fingerprint(other))
    return len(one) == len(other) and all(value == of_other for value, of_other in pairs)
