"""`attnzoo data`: inspecting data before training."""

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
"""Rows in the table of labels; JSON has all of them."""

app = typer.Typer(no_args_is_help=True, help="Inspect data before training.")


@app.callback()
def _data() -> None:
    """Makes `inspect` a subcommand: a Typer with one command and no callback is that command."""


@app.command("inspect", epilog="Example:  attnzoo data inspect image_digits --out inspected")
def inspect(
    config: ConfigFile,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pictures. Default: inspection/NAME, with the config's name.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else; write no pictures.")
    ] = False,
) -> None:
    """Show label counts, sizes, lengths and overlap of the splits; draw boxes and each augmentation."""
    from attnzoo.config import resolve
    from attnzoo.pictures import require_own_pictures

    resolved = resolve(config, overrides or [])
    options = resolved.config
    require_own_pictures(None if as_json else out)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow(num_gpus=0)
        from attnzoo import inspection

        report, info, examples = inspection.inspect(resolved)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    _print_splits(report["splits"])
    _print_quantiles(report["splits"], "tokens", "tokens of")
    _print_quantiles(report["splits"], "numbers", "numbers of")
    _print_objects(report["splits"])
    _print_quantiles(report["splits"], "per_image", "objects per image")
    _print_quantiles(report["splits"], "sides", "side in pixels of")
    _print_labels(report["splits"])
    for picture in inspection.draw(
        options, info, examples["train"], out or Path("inspection") / options.name
    ):
        print(picture)


def _print_splits(splits: Mapping[str, Mapping[str, Any]]) -> None:
    from attnzoo.inspection import size_range

    first = next(iter(splits.values()))
    columns = ["split", "examples", "also in train"]
    if "sizes" in first:
        columns += ["height x width", "formats", "channels"]
    columns += ["tokens truncated"] if "truncated_fraction" in first else []
    rows = []
    for name, split in splits.items():
        row = [name, f"{split['examples']:,}", f"{split['in_train']:,}"]
        if "sizes" in split:
            row += [
                size_range(split["sizes"]),
                *(", ".join(map(str, split[key])) for key in ("formats", "channels")),
            ]
        row += [f"{split['truncated_fraction']:.2%}"] if "truncated_fraction" in split else []
        rows.append(row)
    print_table(columns, rows)


def _print_quantiles(splits: Mapping[str, Mapping[str, Any]], topic: str, title: str) -> None:
    """Prints one row per split and feature: quantiles of lengths, or of numbers."""
    rows = [
        (name, feature, values)
        for name, split in splits.items()
        for feature, values in split.get(topic, {}).items()
    ]
    if rows:
        quantiles = list(rows[0][-1])
        print_table(
            ["split", title, *quantiles],
            [
                [name, feature, *(f"{values[quantile]:,.6g}" for quantile in quantiles)]
                for name, feature, values in rows
            ],
        )


def _print_objects(splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints one row per split: images with and without objects, and objects by size as COCO has it."""
    rows = {name: split["objects"] for name, split in splits.items() if "objects" in split}
    if rows:
        columns = next(iter(rows.values())).keys()
        titles = {
            "images": "with objects",
            "without": "without",
            "small": "small (< 32²)",
            "large": "large (> 96²)",
        }
        print_table(
            ["split", *(titles.get(column, column) for column in columns)],
            [[name, *(f"{values[column]:,}" for column in columns)] for name, values in rows.items()],
        )


def _print_labels(splits: Mapping[str, Mapping[str, Any]]) -> None:
    counts = {name: split["labels"] for name, split in splits.items() if "labels" in split}
    if not counts:
        return
    labels = list(counts["train"])
    rows = [[label, *(f"{by_label[label]:,}" for by_label in counts.values())] for label in labels]
    print_table(["label", *counts], rows[:MAX_LABELS])
    if len(labels) > MAX_LABELS:
        print(f"and {len(labels) - MAX_LABELS:,} more labels; --json prints all")
