"""A confusion matrix as a picture."""

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


def _short(label: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in label)
    return printable if len(printable) <= SHOWN_CHARACTERS else printable[: SHOWN_CHARACTERS - 1] + "…"
