"""`attnzoo compare`: trained runs side by side, or trainings of one config with other values."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attnzoo.cli.common import Split, print_table, refuse, require_folder
from attnzoo.startup import import_tensorflow

SIGNIFICANT = 0.05
SEEDS = 3

app = typer.Typer()


@app.command(
    epilog="Example:  attnzoo compare runs/one runs/other    or    "
    "attnzoo compare configs/text_languages.yaml --vary model.attention.name=multi_head,additive,linear"
)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more runs, or one config with --vary.", metavar="RUN...", show_default=False
        ),
    ],
    split: Annotated[
        Split | None, typer.Option(help="Runs: part of the data. Default: test.", show_default=False)
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE,...",
            help="Train the config with each of these values; of several --vary every combination.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="--vary: trainings of each value. Default: 3.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="--vary: change the config.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="--vary: folder of the runs. Default: one in runs/compare.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say whether the BLEU of runs differs by more than chance, or train a config with several values."""
    if vary:
        if len(runs) != 1 or split is not None:
            refuse("--vary takes one config file, and no --split: it trains, and reports validation and test")
        _vary(runs[0], vary, overrides or [], seeds or SEEDS, out, as_json)
    else:
        if seeds is not None or overrides or out is not None:
            refuse("--seeds, --set and --out go with --vary, which trains a config with several values")
        _compare_runs(runs, (split or Split.TEST).value, as_json)


def _compare_runs(runs: Sequence[Path], split: str, as_json: bool) -> None:
    for run in runs:
        require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import comparison

        found, signature = comparison.compare(runs, split)
    if as_json:
        print(json.dumps({"signature": signature, "runs": [vars(one) for one in found]}))
        return
    rows = [
        (
            one.name,
            f"{one.bleu:.2f} \u00b1 {one.interval:.2f}",
            "" if one.p_value is None else f"{one.bleu - found[0].bleu:+.2f}",
            "" if one.p_value is None else f"{one.p_value:.3f}" + (" *" if one.p_value < SIGNIFICANT else ""),
        )
        for one in found
    ]
    print_table(["run", "BLEU, 95 % interval", "to the first", "p"], rows)
    print(f"{signature}; paired bootstrap; * is significant at {SIGNIFICANT:.0%}")


def _vary(
    config: Path, vary: Sequence[str], overrides: Sequence[str], seeds: int, out: Path | None, as_json: bool
) -> None:
    from attnzoo import sweep

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    found = sweep.sweep(config, vary, overrides, seeds, out, say)
    keys = [text.partition("=")[0].strip() for text in vary]
    if as_json:
        variants = [dataclasses.asdict(one) for one in found]
        print(json.dumps({"config": str(config), "vary": keys, "variants": variants}, ensure_ascii=False))
        return
    print_outcomes(found, keys)
    say(f"curves of all of them: tensorboard --logdir {Path(found[0].runs[0]).parent}")


def print_outcomes(found: Sequence[Any], keys: Sequence[str]) -> None:
    """Prints a row a variant: its scores, mean and standard deviation over the seeds, and its costs."""
    first = found[0]
    shown = [name for name in (first.monitor, "bleu") if name in first.metrics]
    rows = [
        (
            one.name,
            _spread(one.validation),
            *(_spread(one.metrics[name]) for name in shown),
            f"{one.num_weights:,}",
            f"{statistics.mean(one.targets_per_second):,.0f}",
            f"{max(one.peak_memory_bytes) / 2**20:,.0f}",
        )
        for one in found
    ]
    scores = [f"validation {first.monitor}", *(f"{first.split} {name}" for name in shown)]
    print_table([", ".join(keys), *scores, "weights", "targets/s", "peak MiB"], rows)
    seeds = len(first.runs)
    print(
        f"mean \u00b1 standard deviation over {seeds} seeds" if seeds > 1 else "one seed: no spread is known"
    )


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} \u00b1 {statistics.stdev(values):.4f}"
