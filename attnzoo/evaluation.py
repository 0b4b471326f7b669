"""`attnzoo eval`: the metrics of a trained run on one of its splits."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.data import examples as data_examples
from attnzoo.data.buckets import beyond_training, truncated_fraction
from attnzoo.errors import DataNote, UserError
from attnzoo.files import disk_errors, replaced_file
from attnzoo.pictures import write_png
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.folder import RunDir, is_file_of_run
from attnzoo.runs.trained import TrainedRun, load_other_split, load_split, load_trained
from attnzoo.tasks.evaluating import Evaluator, OnBatch, on_no_batch
from attnzoo.tasks.types import WorstExample


def evaluate(
    folder: Path,
    split: str | None = None,
    worst: int = 0,
    out: Path | None = None,
    data: Sequence[str] = (),
    predictions: Path | None = None,
    on_batch: OnBatch = on_no_batch,
) -> tuple[dict[str, Any], list[str]]:
    """Evaluates a run on a split of its data, or on other data.

    Args:
        folder: a run folder.
        split: "train", "validation" or "test"; None for test, or validation if there is no test.
        worst: number of examples with the worst predictions to list, or to draw for detection; 0 for none.
        out: folder for their pictures; None for `worst` in the run.
        data: other files or folders of the kind that the data of the run is read from; `split` in the result
            names them.
        predictions: file for the answer to each example, .csv or .jsonl; None for none.
        on_batch: called before each batch, to report progress.

    Returns:
        The JSON-serializable result and human-readable lines of its details. The result has `run`, `split`,
        `weights` (their steps), `examples`, `metrics` by name (numbers; signatures are strings),
        `truncated_fraction` (fraction of truncated tokens; only for texts), `seconds`, and details of the
        task: for a classifier `labels`, `confusion_matrix` (counts by true label, row, and predicted label,
        column) and `classes` (precision, recall, F1 and support of each); `worst`, a dict per example, with
        the path of its `picture` for detection; and `predictions`, the path of their file.

    Raises:
        UserError: no such run or split, data with other classes than in training, a task without answers to
            single examples, predictions over a file that is read or of a run (2), damaged weights, a disk
            that is full or read-only (4).
    """
    if predictions is not None:
        _refuse_replacing(predictions, RunDir(folder), data)
    trained = load_trained(folder)
    if out is not None and not trained.task.finds_objects:
        raise UserError(f"{folder}: a run of {trained.task.name}; --out is only for detection.")
    info, task = trained.info, trained.task
    problem = task.prediction_problem(info) if worst or predictions is not None else None
    if problem is not None:
        raise UserError(f"{folder}: {problem}; leave out --worst and --predictions.")
    for note in task.calibration_notes(trained.config.eval, trained.calibration):
        warnings.warn(f"{folder}: {note}", DataNote, stacklevel=2)
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
    report = _evaluator(trained, len(examples)).report(examples, trained.calibration, on_batch)
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
    if worst or predictions is not None:
        answered = task.calibrated(report.predictions, trained.config.eval, trained.calibration)
    if predictions is not None:
        _write_results(task.results(answered, examples, info, trained.config.eval) or (), predictions)
        result["predictions"] = str(predictions)
        lines = [*lines, f"predictions: {predictions}"]
    if worst:
        mistakes = task.worst(answered, examples, info, trained.config.eval, worst) or []
        result["worst"], shown = _list_worst(mistakes, out or folder / "worst", task.finds_objects)
        lines = [*lines, "worst:", *shown, *["  none: no errors"] * (not mistakes)]
    return result, lines


def _evaluator(trained: TrainedRun, num_examples: int) -> Evaluator:
    return Evaluator(
        trained.model,
        trained.task,
        trained.info,
        evaluation_sizes(trained.config),
        trained.config.eval,
        tf.distribute.get_strategy(),
        xla=trained.is_worth_compiling(num_examples),
    )


def _refuse_replacing(path: Path, run: RunDir, data: Sequence[str]) -> None:
    """Refuses a file for results that is data of the run, other data, or a file that a run wrote.

    Raises:
        UserError: it is one of these (2).
    """
    if not path.exists():
        return
    if is_file_of_run(path):
        raise UserError(f"--predictions {path}: a file that the run needs itself; choose another name.")
    if run.config.is_file():
        run.require_format()
        options = run.read_config().data
        read = [*data, *(file for _, file in options.files())]
        with contextlib.suppress(ValueError):  # `load_other_split` says what is wrong with the paths
            other = options.with_files(data) if data else None
            read += [file for _, file in other.files()] if other is not None else []
        if any(os.path.exists(file) and path.samefile(file) for file in read):
            raise UserError(f"--predictions {path}: a file that is read; choose another name.")


def _write_results(results: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Writes a row per example as the suffix of the file says; an error leaves an earlier file as it was."""
    with replaced_file(path) as file:
        to_text = _lines_of_json if path.suffix.lower() == ".jsonl" else _lines_of_table
        for text in to_text(results):
            with disk_errors(path):  # UTF-8 has no lone surrogates
                file.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _lines_of_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _lines_of_table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields a header, unless there are no rows, and each row."""
    header: list[str] = []
    for row in rows:
        cells, stream = dict(_cells(row)), io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        if not header:
            header = [*cells]
            writer.writerow(header)
        writer.writerow([cells[name] for name in header])
        yield stream.getvalue()


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields column and cell of each value: a mapping has a column per key, a list is one cell of JSON."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", one) for name, one in value.items())
        else:
            yield key, json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _list_worst(
    examples: Sequence[WorstExample], folder: Path, are_drawn: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns a dict and a line per example, and writes the pictures of a task that draws them."""
    if not are_drawn:
        rows = [{"name": one.name, **one.values} for one in examples]
        return rows, [f"  {one.name}  {one.text}" for one in examples]
    rows = _draw_worst(examples, folder)
    return rows, [f"  {one['picture']}  {one['text']}" for one in rows]


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
