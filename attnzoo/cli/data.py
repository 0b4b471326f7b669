"""`attnzoo data`: looking at data before training on it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from attnzoo.cli.common import ConfigFile, Overrides, print_table
from attnzoo.startup import import_tensorflow

MAX_LABELS = 50
"""Most labels whose examples are shown in a table; JSON has all."""

app = typer.Typer(no_args_is_help=True, help="Look at data before training on it.")


@app.callback()
def _data() -> None:
    """Makes `inspect` a command of its own name."""


@app.command("inspect", epilog="Example:  attnzoo data inspect image_digits --out looked_at")
def inspect(
    config: ConfigFile,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures. Default: one in inspection/.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else; draw nothing.")
    ] = False,
) -> None:
    """Count labels, sizes, lengths and shared examples; draw what each random change makes of images."""
    from attnzoo.config import resolve

    resolved = resolve(config, overrides or [])
    options = resolved.config
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import inspection

        report, info, examples = inspection.inspect(resolved)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    _print_splits(report["splits"])
    _print_quantiles(report["splits"], "tokens", "tokens of")
    _print_quantiles(report["splits"], "numbers", "numbers of")
    _print_labels(report["splits"])
    for picture in inspection.draw_changes(
        options, info, examples["train"], out or Path("inspection") / options.name
    ):
        print(picture)


def _print_splits(splits: Mapping[str, Mapping[str, Any]]) -> None:
    from attnzoo.inspection import shown_sizes

    first = next(iter(splits.values()))
    columns = ["split", "examples", "in train too"]
    if "sizes" in first:
        columns += ["height x width", "formats", "channels"]
    columns += ["tokens truncated"] if "truncated_fraction" in first else []
    rows = []
    for name, split in splits.items():
        row = [name, f"{split['examples']:,}", f"{split['in_train']:,}"]
        if "sizes" in split:
            row += [
                shown_sizes(split["sizes"]),
                *(", ".join(map(str, split[key])) for key in ("formats", "channels")),
            ]
        row += [f"{split['truncated_fraction']:.2%}"] if "truncated_fraction" in split else []
        rows.append(row)
    print_table(columns, rows)


def _print_quantiles(splits: Mapping[str, Mapping[str, Any]], topic: str, title: str) -> None:
    """Prints a row a split and feature: quantiles of lengths, or of numbers."""
    rows = [
        (name, feature, values)
        for name, split in splits.items()
        for feature, values in split.get(topic, {}).items()
    ]
    if rows:
        words = list(rows[0][-1])
        print_table(
            ["split", title, *words],
            [[name, feature, *(f"{values[word]:,.6g}" for word in words)] for name, feature, values in rows],
        )


def _print_labels(splits: Mapping[str, Mapping[str, Any]]) -> None:
    counts = {name: split["labels"] for name, split in splits.items() if "labels" in split}
    if not counts:
        return
    labels = list(counts["train"])
    rows = [[label, *(f"{of_split[label]:,}" for of_split in counts.values())] for label in labels]
    print_table(["label", *counts], rows[:MAX_LABELS])
    if len(labels) > MAX_LABELS:
        print(f"and {len(labels) - MAX_LABELS:,} more labels; --json has all")
