"""A confusion matrix as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

MOST_CLASSES = 20
"""Most classes that are shown as a table."""
WORST_PAIRS = 10
ROW_CHARACTERS, COLUMN_CHARACTERS = 24, 6


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


def _short(label: str, limit: int) -> str:
    printable = label if label.isprintable() else repr(label)[1:-1]
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
