"""`attnzoo sweep`: trains a config with several values of its options and compares the results."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attnzoo.cli.common import ConfigFile, Overrides, print_table

app = typer.Typer()


@app.command(
    epilog="Example:  attnzoo sweep text_languages --vary model.attention.name=multi_head,additive,linear"
)
def sweep(
    config: ConfigFile,
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE,VALUE,...",
            help="Train with each of these values; may be repeated, for all combinations.",
            show_default=False,
        ),
    ],
    overrides: Overrides = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Runs of each variant, each with its own seed.")
    ] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the runs. Default: runs/sweeps/NAME, with the config's name.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a config with several values and seeds, and compare metrics and costs in one table."""
    from attnzoo import sweep as sweeping

    def report(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    outcomes = sweeping.sweep(config, vary, overrides or [], seeds, out, report)
    keys = [text.partition("=")[0].strip() for text in vary]
    if as_json:
        variants = [dataclasses.asdict(one) for one in outcomes]
        print(json.dumps({"config": str(config), "vary": keys, "variants": variants}, ensure_ascii=False))
        return
    print_outcomes(outcomes, keys)
    report(f"curves of all runs: tensorboard --logdir {Path(outcomes[0].runs[0]).parent}")


def print_outcomes(outcomes: Sequence[Any], keys: Sequence[str]) -> None:
    """Prints one row per variant: metrics, as mean and standard deviation over the seeds, and costs."""
    first = outcomes[0]
    shown = [name for name in first.headline if all(name in one.metrics for one in outcomes)]
    rows = [
        (
            one.name,
            _spread(one.validation),
            *(_spread(one.metrics[name]) for name in shown),
            f"{one.num_parameters:,}",
            f"{statistics.mean(one.targets_per_second):,.0f}",
            f"{max(one.peak_memory_bytes) / 2**20:,.0f}",
        )
        for one in outcomes
    ]
    metrics = [f"validation {first.monitor}", *(f"{first.split} {name}" for name in shown)]
    print_table([", ".join(keys), *metrics, "parameters", "targets/s", "peak MiB"], rows)
    seeds = len(first.runs)
    print(
        f"mean \u00b1 standard deviation over {seeds} seeds"
        if seeds > 1
        else "one seed: no standard deviation; add --seeds"
    )


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} \u00b1 {statistics.stdev(values):.4f}"
