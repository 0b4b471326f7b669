"""A confusion matrix as a picture and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnzoo import pictures
from attnzoo.pictures import BOARD_INCHES

MAX_NAMES = 60
"""Most classes whose names are written into the picture."""
SHOWN_CHARACTERS = 16
NAME_POINTS, LETTER = 7.0, 0.62
"""Size of the names, and how wide their letters and the numerals are in it."""
POINTS_AN_INCH = 72
CELL_INCHES = 0.105
"""Of a class in the picture, at least: a line of such letters."""
SMALLEST_POINTS, LARGEST_POINTS = 5.5, 9.0
"""Of the numbers in the cells; what would be smaller is left out."""
MAX_CLASSES = 20
"""Most classes that are shown as a table."""
WORST_PAIRS = 10
ROW_CHARACTERS, COLUMN_CHARACTERS = 24, 6


def draw(matrix: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draws rows of true labels and columns of predicted ones; dark is a large fraction of its row.

    Args:
        matrix: <int64>[classes, classes], numbers of examples.
        labels: names of the classes.

    Returns:
        <uint8>[height, width, 3].
    """
    from matplotlib.figure import Figure

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [_short(label) for label in labels] if len(labels) <= MAX_NAMES else []
    margin = 0.3 + max(map(len, names), default=0) * NAME_POINTS * LETTER / POINTS_AN_INCH
    side = max(BOARD_INCHES - margin - 0.05, CELL_INCHES * len(names))
    inches = (margin + side + 0.05, 0.25 + side + margin)
    with pictures.plain_texts():
        figure = Figure(figsize=inches, dpi=pictures.DOTS_AN_INCH)
        axes = figure.add_axes((margin / inches[0], margin / inches[1], side / inches[0], side / inches[1]))
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=NAME_POINTS)
        axes.set_yticks(range(len(names)), names, fontsize=NAME_POINTS)
        axes.tick_params(length=0, pad=2)
        figure.text(0.0, 1.0, " rows: true, columns: predicted; dark: most of a row", va="top", fontsize=8)
        points = _points_of_numbers(matrix, POINTS_AN_INCH * side / len(labels))
        for row, column in np.argwhere(matrix) if points else ():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(
                column, row, matrix[row, column], ha="center", va="center", color=color, fontsize=points
            )
        return pictures.pixels_of(figure)


def _points_of_numbers(matrix: np.ndarray, cell: float) -> float:
    """Returns the size in which all numbers fit into cells, both in points; 0 if that is too small."""
    points = min(LARGEST_POINTS, 0.8 * cell, 0.9 * cell / (LETTER * len(str(int(matrix.max())))))
    return points if points >= SMALLEST_POINTS else 0.0


def lines(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Returns a table for at most 20 classes, the pairs that are confused most for more.

    Args:
        matrix: [true label, predicted label], numbers of examples.
        labels: names of the classes.
    """
    return _table(matrix, labels) if len(labels) <= MAX_CLASSES else _worst(matrix, labels)


def _table(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    heads = [_short(label, COLUMN_CHARACTERS) for label in labels]
    names = [_short(label, ROW_CHARACTERS) for label in labels]
    cells = [[str(count) if count else "." for count in row] for row in matrix]
    width = 2 + max(map(len, [*heads, *(cell for row in cells for cell in row)]))
    margin = max(map(len, names))
    table = ["  rows: true labels; columns, in the same order: predicted ones"]
    for name, row in zip(["", *names], [heads, *cells], strict=True):
        table.append(f"  {name:{margin}}" + "".join(f"{cell:>{width}}" for cell in row))
    return table


def _worst(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    shown = ["  confused most:"] if pairs else []
    for count, true, predicted in pairs[:WORST_PAIRS]:
        names = (_short(labels[index], ROW_CHARACTERS) for index in (true, predicted))
        shown.append(f"  {' predicted as '.join(names)}: {count} of {sum(matrix[true])}")
    return shown


def _short(label: str, limit: int = SHOWN_CHARACTERS) -> str:
    printable = label if label.isprintable() else repr(label)[1:-1]
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
