"""Precision, recall and F1 of each class, as numbers and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attnzoo.tasks.confusion import MAX_TABLE_CLASSES, ROW_CHARACTERS, short_name

MAX_WORST = 10
"""Of more classes than a table has, so many with the lowest F1 are printed."""
_SCORES = ("precision", "recall", "f1")


def class_scores(
    names: Sequence[str],
    correct: np.ndarray,
    predicted: np.ndarray,
    support: np.ndarray,
    thresholds: Sequence[float] = (),
) -> list[dict[str, Any]]:
    """Returns a dict per class: `class`, `precision`, `recall`, `f1` (0 to 1), `support` (true examples).

    What is undefined is None: the precision of a class that is never predicted, the recall of one without
    examples, the F1 of one that is neither.

    Args:
        names: names of the classes.
        correct: <int>[classes], examples of each that are predicted as it.
        predicted: <int>[classes], examples that are predicted as each.
        support: <int>[classes], examples of each.
        thresholds: smallest probability at which each is predicted, added as `threshold`; empty for none.

    Examples:
        >>> (row,) = class_scores(["cat"], np.array([3]), np.array([4]), np.array([6]))
        >>> row
        {'class': 'cat', 'precision': 0.75, 'recall': 0.5, 'f1': 0.6, 'support': 6}
    """
    rows = []
    for number, name in enumerate(names):
        both = int(predicted[number] + support[number])
        row = {
            "class": name,
            "precision": _ratio(correct[number], predicted[number]),
            "recall": _ratio(correct[number], support[number]),
            "f1": _ratio(2 * correct[number], both),
            "support": int(support[number]),
        }
        rows.append({**row, "threshold": float(thresholds[number])} if len(thresholds) else row)
    return rows


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields the rows of `class_scores` as a table, of more than 20 those with the lowest F1."""
    shown = list(rows)
    if len(rows) > MAX_TABLE_CLASSES:
        known = [row for row in rows if row["f1"] is not None]
        shown = sorted(known, key=lambda row: row["f1"])[:MAX_WORST]
        yield f"  the {len(shown)} of {len(rows)} classes with the lowest F1 (--json has all)"
    names = [short_name(row["class"], ROW_CHARACTERS) for row in shown]
    width = max(map(len, ["class", *names]))
    has_thresholds = any("threshold" in row for row in shown)
    yield f"  {'class':{width}}  precision  recall     f1  support" + "  threshold" * has_thresholds
    for name, row in zip(names, shown, strict=True):
        precision, recall, f1 = ("-" if row[key] is None else f"{row[key]:.3f}" for key in _SCORES)
        line = f"  {name:{width}}  {precision:>9}  {recall:>6}  {f1:>5}  {row['support']:>7,}"
        yield line + (f"  {row['threshold']:>9.3f}" if has_thresholds else "")
