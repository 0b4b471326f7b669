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
from attnzoo.runs.trained import MIN_EXAMPLES_FOR_XLA, chosen_split, load_trained
from attnzoo.tasks.evaluating import Evaluator


def evaluate(folder: Path, split: str = "test") -> tuple[dict[str, Any], list[str]]:
    """Evaluates a run on a split of the data that its config names.

    Args:
        folder: a run folder.
        split: "train", "validation" or "test".

    Returns:
        What JSON holds: `run`, `split`, `weights` (of which steps), `examples`, `metrics` by name (numbers;
        signatures as text), `truncated_fraction` (fraction of tokens that are truncated; only for texts),
        `seconds`, and what the task adds: of a classifier `labels` and `confusion_matrix`, how many examples
        of each true label (row) were predicted as each label (column). Then what it adds as lines,
        human-readable.

    Raises:
        UserError: no such run or split, data with other classes than in training (2), damaged weights (4).
    """
    trained = load_trained(folder)
    _, chosen = chosen_split(trained, split)
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
    report = evaluator.report(examples, trained.fitted)
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
            f"{split}: {count} are longer than any in training, where a model is less sure.",
            DataNote,
            stacklevel=2,
        )
