"""`attnzoo compare`: whether runs differ more than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.data import examples as data_examples
from attnzoo.data.splits import Split
from attnzoo.errors import UserError
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.data import load_splits, split_of
from attnzoo.runs.trained import MIN_EXAMPLES_FOR_XLA, load_trained
from attnzoo.tasks.task import Comparison


def compare(folders: Sequence[Path], split: str = "test") -> tuple[list[Comparison], str]:
    """Compares runs with the first by their task's metric.

    Every run predicts as its own `eval` section says; how predictions are scored is said by the first.

    Args:
        folders: two or more runs of one task with the same split.
        split: "train", "validation" or "test".

    Returns:
        One comparison a run, and how they were made.

    Raises:
        UserError: no such run or split, a task that is not compared, splits that differ, fewer than two runs
            (2), damaged weights (4).
    """
    if len(folders) < 2:
        raise UserError(f"{folders[0]}: one run has nothing to be compared with; name two or more.")
    systems: list[tuple[str, Any]] = []
    first: data_examples.Examples | None = None
    for folder in folders:
        trained = load_trained(folder)
        task, info = trained.task, trained.info
        if task.compared_by is None:
            raise UserError(
                f"{folder}: a run of {task.name}, whose runs are not compared; see `attnzoo eval` for the "
                "intervals of its metrics."
            )
        examples = data_examples.encode_split(split_of(load_splits(trained.config), split, folder), info)
        if first is None:
            first, first_trained = examples, trained
        if task.name != first_trained.task.name:
            raise UserError(f"{folder}: a run of {task.name}, and {folders[0]} of {first_trained.task.name}.")
        if not _same(examples.raw, first.raw):
            raise UserError(f"{folder}: its {split} split is another one than that of {folders[0]}.")
        predict = task.predict_fn(
            [trained.model], info, trained.config.eval, len(examples) >= MIN_EXAMPLES_FOR_XLA
        )
        predictions = task.predictions(predict, examples, info, evaluation_sizes(trained.config))
        systems.append((str(folder), predictions))
    assert first is not None
    return first_trained.task.compare(systems, first, first_trained.info, first_trained.config.eval)


def _same(one: Split, other: Split) -> bool:
    """Whether two splits have the same examples in the same order."""
    return one.names == other.names and all(
        np.array_equal(one.column(name), other.column(name)) for name in one.names
    )
