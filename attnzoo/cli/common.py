"""Arguments, errors and tables that the commands share."""

from __future__ import annotations

import enum
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from attnzoo import catalog
from attnzoo.errors import DataNote, UserError

WIDTH_IN_PIPES = 160
"""Width in characters of a table that is not printed to a terminal."""


class Split(str, enum.Enum):
    """Splits of a data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Format(str, enum.Enum):
    """Formats of a file of inputs."""

    TEXT = "text"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


def _find_config(ctx: typer.Context, given: Path) -> Path:
    """Resolves a path or a recipe's name to a config file, and prints the file of a name."""
    if ctx.resilient_parsing:  # shell completion
        return given
    file = catalog.find_config(given)
    if file != given:
        from attnzoo.training.console import note

        note(f"the config {given} is {file}")
    return file


ConfigFile = Annotated[
    Path,
    typer.Argument(
        help="Config file, or name of a recipe (see attnzoo list configs).",
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
        help="Override one value of the config; may be repeated.",
        show_default=False,
    ),
]

RunFolder = Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN", show_default=False)]

Beams = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, help="Beam size of the search. Default: eval.beams of the run.", show_default=False
    ),
]


def require_folder(run: Path) -> None:
    """Refuses a run folder that does not exist."""
    if not run.is_dir():
        refuse(f"{run}: no such run folder; expected one created by `attnzoo train`")


def note_lines(lines: Sequence[str]) -> None:
    """Issues a `DataNote` of each line."""
    for line in lines:
        warnings.warn(line, DataNote, stacklevel=2)


def refuse(message: str) -> NoReturn:
    """Ends the command with a one-line error."""
    raise UserError(message)


def print_table(columns: list[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, as wide as the terminal; `WIDTH_IN_PIPES` where there is none."""
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
