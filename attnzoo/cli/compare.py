"""`attnzoo compare`: whether the metrics of trained runs differ significantly."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from attnzoo.cli.common import Split, print_table, require_folder
from attnzoo.startup import import_tensorflow

SIGNIFICANT = 0.05

app = typer.Typer()


@app.command(epilog="Example:  attnzoo compare runs/one runs/other")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Two or more run folders.", metavar="RUN...", show_default=False)
    ],
    split: Annotated[Split, typer.Option(help="Split to compare on.")] = Split.TEST,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Test whether the metrics of runs differ significantly, by paired bootstrap resampling."""
    for run in runs:
        require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import comparison

        results, signature = comparison.compare(runs, split.value)
    first = results[0]
    if as_json:
        values = [
            {"name": one.name, one.metric: one.value, "interval": one.interval, "p_value": one.p_value}
            for one in results
        ]
        print(json.dumps({"signature": signature, "runs": values}))
        return
    rows = [
        (
            one.name,
            f"{one.value:.4g} \u00b1 {one.interval:.2g}",
            "" if one.p_value is None else f"{one.value - first.value:+.4g}",
            "" if one.p_value is None else f"{one.p_value:.3f}" + (" *" if one.p_value < SIGNIFICANT else ""),
        )
        for one in results
    ]
    print_table(["run", f"{first.metric}, 95 % interval", "difference to the first", "p"], rows)
    print(f"{signature}; paired bootstrap; * = significant at {SIGNIFICANT:.0%}")
