"""A confusion matrix as a picture and as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnzoo import pictures
from attnzoo.pictures import TENSORBOARD_INCHES

MAX_NAMES = 60
"""The picture has class names for at most so many classes."""
MAX_NAME_CHARACTERS = 16
NAME_POINTS, CHARACTER_WIDTH = 7.0, 0.62
"""Font size of the names, and the width of a character in units of it."""
POINTS_PER_INCH = 72
MIN_CELL_INCHES = 0.105
"""Height of a line of names."""
MIN_POINTS, MAX_POINTS = 5.5, 9.0
"""Font size of the counts in the cells; they are left out if they would be smaller."""
MAX_TABLE_CLASSES = 20
"""More classes than this are not printed as a table."""
MAX_PAIRS = 10
ROW_CHARACTERS, COLUMN_CHARACTERS = 24, 6


def draw(matrix: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draws a confusion matrix: rows are true labels, columns predicted ones, dark is most of a row.

    Args:
        matrix: <int64>[classes, classes], counts of examples.
        labels: names of the classes.

    Returns:
        <uint8>[height, width, 3].
    """
    from matplotlib.figure import Figure

    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [short_name(label) for label in labels] if len(labels) <= MAX_NAMES else []
    margin = 0.3 + max(map(len, names), default=0) * NAME_POINTS * CHARACTER_WIDTH / POINTS_PER_INCH
    side = max(TENSORBOARD_INCHES - margin - 0.05, MIN_CELL_INCHES * len(names))
    inches = (margin + side + 0.05, 0.25 + side + margin)
    with pictures.literal_text():
        figure = Figure(figsize=inches, dpi=pictures.DOTS_PER_INCH)
        axes = figure.add_axes((margin / inches[0], margin / inches[1], side / inches[0], side / inches[1]))
        axes.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=NAME_POINTS)
        axes.set_yticks(range(len(names)), names, fontsize=NAME_POINTS)
        axes.tick_params(length=0, pad=2)
        figure.text(0.0, 1.0, " rows: true, columns: predicted; dark: most of a row", va="top", fontsize=8)
        points = _count_points(matrix, POINTS_PER_INCH * side / len(labels))
        for row, column in np.argwhere(matrix) if points else ():
            color = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(
                column, row, matrix[row, column], ha="center", va="center", color=color, fontsize=points
            )
        return pictures.render(figure)


def _count_points(matrix: np.ndarray, cell: float) -> float:
    """Returns the font size at which all counts fit into cells of this size (points); 0 if too small."""
    points = min(MAX_POINTS, 0.8 * cell, 0.9 * cell / (CHARACTER_WIDTH * len(str(int(matrix.max())))))
    return points if points >= MIN_POINTS else 0.0


def lines(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Returns a table for at most 20 classes, for more the pairs that are confused most often.

    Args:
        matrix: [true label, predicted label], counts of examples.
        labels: names of the classes.
    """
    return _table(matrix, labels) if len(labels) <= MAX_TABLE_CLASSES else _most_confused(matrix, labels)


def _table(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    heads = [short_name(label, COLUMN_CHARACTERS) for label in labels]
    names = [short_name(label, ROW_CHARACTERS) for label in labels]
    cells = [[str(count) if count else "." for count in row] for row in matrix]
    width = 2 + max(map(len, [*heads, *(cell for row in cells for cell in row)]))
    margin = max(map(len, names))
    table = ["  rows: true labels; columns: predicted labels, in the same order"]
    for name, row in zip(["", *names], [heads, *cells], strict=True):
        table.append(f"  {name:{margin}}" + "".join(f"{cell:>{width}}" for cell in row))
    return table


def _most_confused(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    lines = ["  most confused:"] if pairs else []
    for count, true, predicted in pairs[:MAX_PAIRS]:
        names = (short_name(labels[index], ROW_CHARACTERS) for index in (true, predicted))
        lines.append(f"  {' predicted as '.join(names)}: {count} of {sum(matrix[true])}")
    return lines


def short_name(label: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Returns the name of a class in printable characters, truncated with an ellipsis."""
    printable = label if label.isprintable() else repr(label)[1:-1]
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
