"""`attnzoo eval`: the metrics of a trained run on one of its splits."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.data import examples as data_examples
from attnzoo.data.buckets import beyond_training, truncated_fraction
from attnzoo.errors import DataNote
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.trained import MIN_EXAMPLES_FOR_XLA, load_split, load_trained
from attnzoo.tasks.evaluating import Evaluator


def evaluate(folder: Path, split: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """Evaluates a run on a split of its data.

    Args:
        folder: a run folder.
        split: "train", "validation" or "test"; None for test, or validation if there is no test.

    Returns:
        The JSON-serializable result and human-readable lines of its details. The result has `run`, `split`,
        `weights` (their steps), `examples`, `metrics` by name (numbers; signatures are strings),
        `truncated_fraction` (fraction of truncated tokens; only for texts), `seconds`, and details of the
        task: for a classifier `labels` and `confusion_matrix` (counts by true label, row, and predicted
        label, column).

    Raises:
        UserError: no such run or split, data with other classes than in training (2), damaged weights (4).
    """
    trained = load_trained(folder)
    split, chosen = load_split(trained, split)
    info, task = trained.info, trained.task
    examples = data_examples.encode_split(chosen, info)
    lengths = examples.lengths(info)
    if lengths:
        _note_lengths(beyond_training(lengths, info), split)
    truncated = {"truncated_fraction": truncated_fraction(lengths, info.lengths[-1])} if lengths else {}
    begin = time.monotonic()
    evaluator = Evaluator(
        trained.model,
        task,
        info,
        evaluation_sizes(trained.config),
        trained.config.eval,
        tf.distribute.get_strategy(),
        xla=len(examples) >= MIN_EXAMPLES_FOR_XLA,
    )
    report = evaluator.report(examples, trained.calibration)
    result = {
        "run": str(folder),
        "split": split,
        "weights": trained.weights,
        "examples": len(examples),
        "metrics": report.metrics,
        **truncated,
        "seconds": round(time.monotonic() - begin, 2),
        **report.details,
    }
    return result, task.describe(report.details)


def _note_lengths(beyond: np.ndarray, split: str) -> None:
    if beyond.any():
        count = f"{np.count_nonzero(beyond):,} of {len(beyond):,} examples"
        warnings.warn(
            f"{split}: {count} are longer than any training example; predictions are less reliable there.",
            DataNote,
            stacklevel=2,
        )
