"""Logs of a run: `metrics.jsonl` and TensorBoard, with the same numbers under the same names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from attnzoo.runs.folder import RunDir, write_errors

Scalars = Mapping[str, float]
Cell = str | Sequence[tuple[str, bool]]
"""A text, or a list of (text, whether it is highlighted)."""
MAX_CELL_CHARACTERS = 120
"""Rows with a longer cell are written as paragraphs instead of a table."""
MARKUP_CHARACTERS = "\\`*_{}[]()#+!|&<>"
"""Characters with a meaning in Markdown or HTML."""


class Records:
    """Log writers of one run. Closing them flushes everything.

    Args:
        run: the run folder.
        sizes: bytes of each log file at the checkpoint that training continues from; longer files are
            truncated to them, and newer files are removed.
    """

    def __init__(self, run: RunDir, sizes: Mapping[str, int]) -> None:
        self.run = run
        with write_errors(run.logs):
            _rewind(run, sizes)
            self._file = run.metrics.open("a", encoding="utf-8")
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        with write_errors(self.run.logs):
            self._file.close()
            for writer in self._writers.values():
                writer.close()

    def scalars(self, split: str, step: int, values: Scalars, **extra: Any) -> None:
        """Writes the scalars of one step.

        Args:
            split: "train", "validation" or "test"; TensorBoard overlays curves of different splits.
            step: optimizer step.
            values: tag ("loss", "speed/targets_per_second") -> value.
            extra: more fields for the line in metrics.jsonl.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with write_errors(self.run.logs):
            self._file.write(json.dumps({"split": split, "step": step, **extra, **finite}) + "\n")
        with write_errors(self.run.logs), self._writer(split).as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def text(self, split: str, step: int, tag: str, markdown: str) -> None:
        """Writes a Markdown text for TensorBoard."""
        with write_errors(self.run.logs), self._writer(split).as_default(step):
            tf.summary.text(tag, markdown)

    def images(self, split: str, step: int, tag: str, pixels: np.ndarray) -> None:
        """Writes pictures <uint8>[pictures, height, width, channels] for TensorBoard."""
        with write_errors(self.run.logs), self._writer(split).as_default(step):
            tf.summary.image(tag, pixels, max_outputs=len(pixels))

    def hparams(self, split: str, step: int, options: Mapping[str, Any]) -> None:
        """Writes options for TensorBoard's HParams page, next to the final scalars of `split`.

        Options that are None are left out, so that numeric columns stay numeric.
        """
        values = {
            name: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
            for name, value in options.items()
            if value is not None
        }
        with write_errors(self.run.logs), self._writer(split).as_default(step):
            hparams.hparams(values, trial_id=trial_id(self.run.path))

    def flush(self) -> dict[str, int]:
        """Writes everything out and returns the size of each log file in bytes, by relative path.

        Raises:
            UserError: they cannot be written (exit code 4).
        """
        with write_errors(self.run.logs):
            self._file.flush()
            os.fsync(self._file.fileno())
            for writer in self._writers.values():
                writer.flush()
            files = _log_files(self.run)
            return {str(path.relative_to(self.run.path)): path.stat().st_size for path in files}

    def _writer(self, split: str) -> tf.summary.SummaryWriter:
        if split not in self._writers:
            self._writers[split] = tf.summary.create_file_writer(str(self.run.logs / split))
        return self._writers[split]


def read_scalars(run: RunDir, split: str, name: str) -> list[float]:
    """Returns the finite values of a scalar in `metrics.jsonl`, in order, without lines that are damaged."""
    values = []
    text = run.metrics.read_text("utf-8", "replace") if run.metrics.is_file() else ""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            if entry["split"] == split:
                values.append(float(entry[name]))
    return values


def trial_id(folder: Path) -> str:
    """Returns a unique name for the HParams page, which merges runs with equal names; it hides the path."""
    return f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"


def _log_files(run: RunDir) -> list[Path]:
    return [run.metrics, *sorted(path for path in run.logs.rglob("*.tfevents.*") if path.is_file())]


def _rewind(run: RunDir, sizes: Mapping[str, int]) -> None:
    for path in _log_files(run):
        if not path.is_file():
            continue
        size = sizes.get(str(path.relative_to(run.path)))
        if size is None:
            path.unlink()
        elif path.stat().st_size > size:
            with path.open("r+b") as file:
                file.truncate(size)


def markdown_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Returns rows as a Markdown table, with the texts escaped.

    TensorBoard removes colors from texts, so highlighted texts are bold. Next to a long cell it makes the
    others one character wide; then rows are paragraphs, with the columns without long cells first.

    Examples:
        >>> print(markdown_table([{"text": "2 * 3", "predicted": [("six", True)]}]))
        | text | predicted |
        | --- | --- |
        | 2 &#42; 3 | **six** |
    """
    if not rows:
        return "(no rows)"
    names = list(rows[0])
    long = [name for name in names if any(_length(row[name]) > MAX_CELL_CHARACTERS for row in rows)]
    if long:
        return "\n\n".join(_paragraph(row, long) for row in rows)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _paragraph(row: Mapping[str, Cell], long: Sequence[str]) -> str:
    short = [f"{name}: {_cell(cell)}" for name, cell in row.items() if name not in long]
    paragraphs = [f"{name}: {_cell(row[name])}" for name in long]
    return "\n\n".join(["---", *([" \u00b7 ".join(short)] if short else []), *paragraphs])


def _length(cell: Cell) -> int:
    return len(cell) if isinstance(cell, str) else sum(len(text) + 1 for text, _ in cell)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return _escaped(cell)
    return " ".join(f"**{_escaped(text)}**" if bold else _escaped(text) for text, bold in cell)


def _escaped(text: str) -> str:
    one_line = text.replace("\r", " ").replace("\n", " ")
    return "".join(f"&#{ord(one)};" if one in MARKUP_CHARACTERS else one for one in one_line)
