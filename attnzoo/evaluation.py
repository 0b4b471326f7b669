"""`attnzoo eval`: the metrics of a trained run on one of its splits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.data import examples as data_examples
from attnzoo.data.buckets import beyond_training, truncated_fraction
from attnzoo.errors import DataNote, UserError
from attnzoo.files import disk_errors
from attnzoo.pictures import write_png
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.trained import load_other_split, load_split, load_trained
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.tasks.types import WorstExample


def evaluate(
    folder: Path,
    split: str | None = None,
    worst: int = 0,
    out: Path | None = None,
    data: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Evaluates a run on a split of its data, or on other data.

    Args:
        folder: a run folder.
        split: "train", "validation" or "test"; None for test, or validation if there is no test.
        worst: number of examples with the worst predictions to draw; 0 for none.
        out: folder for their pictures; None for `worst` in the run.
        data: other files or folders of the kind that the data of the run is read from; `split` in the result
            names them.

    Returns:
        The JSON-serializable result and human-readable lines of its details. The result has `run`, `split`,
        `weights` (their steps), `examples`, `metrics` by name (numbers; signatures are strings),
        `truncated_fraction` (fraction of truncated tokens; only for texts), `seconds`, and details of the
        task: for a classifier `labels` and `confusion_matrix` (counts by true label, row, and predicted
        label, column), and `worst`, a dict per example with the path of its `picture`.

    Raises:
        UserError: no such run or split, data with other classes than in training, a task whose predictions
            are not drawn (2), damaged weights, a disk that is full or read-only (4).
    """
    trained = load_trained(folder)
    if worst and not trained.task.finds_objects:
        raise UserError(f"{folder}: a run of {trained.task.name}; --worst is only for detection.")
    info, task = trained.info, trained.task
    if data:
        _, chosen, info = load_other_split(trained, data, split)
        split = chosen.origin
    else:
        split, chosen = load_split(trained, split)
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
        xla=trained.is_worth_compiling(len(examples)),
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
    lines = task.describe(report.details)
    if worst:
        examples_of = task.worst(report.predictions, examples, info, trained.config.eval, worst) or []
        result["worst"] = _draw_worst(examples_of, out or folder / "worst")
        lines += ["worst:", *(f"  {one['picture']}  {one['text']}" for one in result["worst"])]
        lines += ["  none: no errors"] * (not examples_of)
    return result, lines


def _draw_worst(examples: Sequence[WorstExample], folder: Path) -> list[dict[str, Any]]:
    """Writes a picture per example, in place of earlier ones; returns its name, errors and picture."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9][0-9][0-9][0-9].png"):
            old.unlink()
    results = []
    for number, one in enumerate(examples, 1):
        path = folder / f"{number:04}.png"
        write_png(one.picture, path)
        results.append(
            {"name": one.name, **one.values, "text": f"{one.name}: {one.text}", "picture": str(path)}
        )
    return results


def _note_lengths(beyond: np.ndarray, split: str) -> None:
    if beyond.any():
        count = f"{np.count_nonzero(beyond):,} of {len(beyond):,} examples"
        warnings.warn(
            f"{split}: {count} are longer than any training example; predictions are less reliable there.",
            DataNote,
            stacklevel=2,
        )
