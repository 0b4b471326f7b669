"""What the commands share: arguments, refusals, tables."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from attnzoo import catalog
from attnzoo.errors import UserError

WIDTH_IN_PIPES = 160
"""Columns of a table that is not printed to a terminal."""


class Split(str, enum.Enum):
    """Parts of a data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Format(str, enum.Enum):
    """Forms of a file of texts."""

    LINES = "lines"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


def _find_config(ctx: typer.Context, given: Path) -> Path:
    """Turns what a command was given into the file that is meant, and says which one a name is."""
    if ctx.resilient_parsing:  # a shell completes
        return given
    file = catalog.find_config(given)
    if file != given:
        from attnzoo.training.console import note

        note(f"the config {given} is {file}")
    return file


ConfigFile = Annotated[
    Path,
    typer.Argument(
        help="Config file, or the name of a recipe: see attnzoo list configs.",
        metavar="CONFIG",
        show_default=False,
        callback=_find_config,
    ),
]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change one value of the config; may be given more than once.",
        show_default=False,
    ),
]

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN", show_default=False)]

Beams = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Beams of the search. Default: as the run.", show_default=False),
]


def require_folder(run: Path) -> None:
    """Refuses a run folder that is not there."""
    if not run.is_dir():
        refuse(f"{run}: there is no such run folder, expected one that `attnzoo train` made")


def refuse(message: str) -> NoReturn:
    """Ends the command with one line."""
    raise UserError(message)


def print_table(columns: list[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; in pipes it is wide."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_PIPES).print(table)
