"""A confusion matrix as a picture and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnzoo import pictures

MOST_NUMBERS = 20
"""Most classes whose examples are written into the picture."""
MOST_NAMES = 60
"""Most classes whose names are."""
SHOWN_CHARACTERS = 16
DOTS_AN_INCH = 100
MOST_CLASSES = 20
"""Most classes that are shown as a table."""
WORST_PAIRS = 10
ROW_CHARACTERS, COLUMN_CHARACTERS = 24, 6


def draw(matrix: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draws rows of true labels and columns of predicted ones; dark is a large share of its row.

    Args:
        matrix: <int64>[classes, classes], numbers of examples.
        labels: names of the classes.

    Returns:
        <uint8>[height, width, 3].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    inches = 2.5 + min(9.0, 0.45 * len(labels))
    with pictures.plain_texts():
        figure = Figure(figsize=(inches + 0.8, inches), dpi=DOTS_AN_INCH, layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
        if len(labels) <= MOST_NAMES:
            names = [_short(label) for label in labels]
            axes.set_xticks(range(len(labels)), names, rotation=60, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(labels)), names)
        if len(labels) <= MOST_NUMBERS:
            for (row, column), count in np.ndenumerate(matrix):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        figure.colorbar(image, ax=axes, label="share of the true label's examples", shrink=0.8)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def lines(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Returns a table for at most 20 classes, the pairs that are confused most for more.

    Args:
        matrix: [true label, predicted label], numbers of examples.
        labels: names of the classes.
    """
    return _table(matrix, labels) if len(labels) <= MOST_CLASSES else _worst(matrix, labels)


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
