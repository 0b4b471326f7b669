"""`attnzoo eval`: the metrics of a trained run on one of its splits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from attnzoo import tasks
from attnzoo.data import examples as data_examples
from attnzoo.run_dir import MANY, chosen_split, evaluation_sizes, load_trained
from attnzoo.tasks.scoring import Evaluator


def evaluate(folder: Path, split: str = "test") -> dict[str, Any]:
    """Evaluates a run on a split of the data that its config names.

    Args:
        folder: a run folder.
        split: "train", "validation" or "test".

    Returns:
        `run`, `split`, `examples`, `metrics` by name (numbers; signatures as text), `cut_share` (share of
        tokens beyond the longest length of training; only for texts) and `seconds`; of a classifier also
        `labels` and `confusion_matrix`, how many examples of each true label (row) were predicted as each
        label (column).

    Raises:
        UserError: no such run or split, data with other classes than in training (2), damaged weights (4).
    """
    trained = load_trained(folder)
    _, chosen = chosen_split(trained, split)
    examples = data_examples.encode_split(chosen, trained.info)
    task = tasks.load(trained.info.task)
    sizes = evaluation_sizes(trained.config)
    buckets = trained.info.buckets
    cut_share = {"cut_share": data_examples.cut_share(examples.texts, buckets[-1])} if buckets else {}
    begin = time.monotonic()
    options, strategy = trained.config.eval, tf.distribute.get_strategy()
    evaluator = Evaluator(
        trained.model, task, trained.info, sizes, options, strategy, xla=len(examples) >= MANY
    )
    report = evaluator.report(examples, trained.temperature)
    result: dict[str, Any] = {
        "run": str(folder),
        "split": split,
        "examples": len(examples),
        "metrics": report.metrics,
        **cut_share,
        "seconds": round(time.monotonic() - begin, 2),
    }
    if report.confusion_matrix is not None:
        result["labels"] = list(trained.info.labels)
        result["confusion_matrix"] = report.confusion_matrix.tolist()
    return result
