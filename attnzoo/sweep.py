"""`attnzoo sweep CONFIG --vary`: trains a config with several values of its options and several seeds.

Imports no TensorFlow: each training is a separate process, so that its peak memory can be measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from attnzoo.config import resolve
from attnzoo.config.source import Origin, parse_value
from attnzoo.errors import EXIT_STOPPED, UserError
from attnzoo.files import disk_errors, read_json
from attnzoo.runs.data import load_task

SPEED = "speed/targets_per_second"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One combination of values.

    Attributes:
        name: the values, human-readable.
        overrides: arguments of `--set`.
    """

    name: str
    overrides: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a variant over its seeds. Lists have one entry per seed.

    Attributes:
        name: name of the variant.
        runs: run folders.
        monitor: metric that selects the weights.
        validation: best value of that metric on validation.
        split: "test", or "validation" if the data has no test split.
        metrics: metric on that split -> values, for metrics that all seeds have.
        headline: metrics that a table shows in addition to the monitored one.
        num_parameters: number of parameters of the model.
        targets_per_second: median speed over the steps of each run.
        peak_memory_bytes: peak resident memory of each training process.
    """

    name: str
    runs: list[str]
    monitor: str
    validation: list[float]
    split: str
    metrics: dict[str, list[float]]
    headline: list[str]
    num_parameters: int
    targets_per_second: list[float]
    peak_memory_bytes: list[int]


def variants(vary: Sequence[str]) -> list[Variant]:
    """Returns all combinations of the values of `KEY=VALUE,VALUE,...`; the last key changes fastest.

    Raises:
        UserError: a missing key or value, or a duplicate value.

    Examples:
        >>> [variant.overrides for variant in variants(["train.batch_size=8,16"])]
        [('train.batch_size=8',), ('train.batch_size=16',)]
    """
    axes = [_values(text) for text in vary]
    return [
        Variant(", ".join(name for _, name in chosen), tuple(override for override, _ in chosen))
        for chosen in itertools.product(*axes)
    ]


def _values(text: str) -> list[tuple[str, str]]:
    """Returns (override, human-readable value) for each value."""
    origin = Origin(f"--vary {' '.join(text.split())}", (1, 0))
    key, equals, listed = text.partition("=")
    expected = "expected KEY=VALUE,VALUE,... such as model.attention.name=additive,linear"
    if not (key.strip() and equals and listed.strip()):
        raise UserError(f"{origin.label}: {expected}.")
    values = parse_value(f"[{listed}]", origin).values
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    if len(set(texts)) != len(texts):
        raise UserError(f"{origin.label}: a value appears twice; remove one.")
    return [(f"{key.strip()}={json.dumps(value)}", text) for value, text in zip(values, texts, strict=True)]


def sweep(
    config: Path,
    vary: Sequence[str],
    overrides: Sequence[str] = (),
    seeds: int = 3,
    out: Path | None = None,
    report: Callable[[str], None] = print,
) -> list[Outcome]:
    """Trains all variants with all seeds, one after another, and collects the results.

    Runs that an earlier call has finished are not trained again; unfinished ones continue.

    Args:
        config: the config file.
        vary: see `variants`.
        overrides: `--set` for all variants.
        seeds: number of seeds per variant, starting at the seed of the config.
        out: folder for the runs; None for `runs/sweeps/NAME`, with the config's name.
        report: called with lines about the progress.

    Raises:
        UserError: an unknown option or a value out of range, before the first training; a training that
            failed, with its exit code; a request to stop (75).
    """
    chosen = variants(vary)
    resolved = [resolve(config, [*overrides, *one.overrides]) for one in chosen]
    tasks = [load_task(one.config) for one in resolved]
    if len({task.name for task in tasks}) > 1:
        names = ", ".join(sorted({task.name for task in tasks}))
        raise UserError(
            f"--vary: runs of different tasks ({names}) have no metrics in common; sweep each separately."
        )
    folder = out or Path("runs") / "sweeps" / resolved[0].config.name
    plan = [
        (number, seed, folder / f"{_slug(one.name)}-seed{seed}")
        for number, (one, options) in enumerate(zip(chosen, resolved, strict=True))
        for seed in range(options.config.seed, options.config.seed + seeds)
    ]
    if len({path for *_, path in plan}) < len(plan):
        raise UserError("--vary: two values give the same folder name; vary them in separate calls.")
    runs: dict[int, list[Path]] = {}
    for count, (number, seed, run) in enumerate(plan, 1):
        one = chosen[number]
        report(f"[{count}/{len(plan)}] {one.name}, seed {seed}: {run}")
        options = [*overrides, *one.overrides, f"seed={seed}"]
        command = ["train", str(config), "--run", str(run)]
        _train([*command, *(part for option in options for part in ("--set", option))], run)
        runs.setdefault(number, []).append(run)
    monitor, _ = tasks[0].monitored(resolved[0].config.eval)
    headline = [monitor, *tasks[0].headline]
    return [_outcome(one, runs[number], headline, report) for number, one in enumerate(chosen)]


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:100] or "variant"


def _train(arguments: list[str], run: Path) -> None:
    """Runs `attnzoo ARGUMENTS`; its output is saved in a log file next to the run."""
    log = run.with_name(f"{run.name}.log")
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("a", encoding="utf-8")
    with file:
        # In a new session, so that the process gets a signal only once, from here.
        process = subprocess.Popen(
            [sys.executable, "-m", "attnzoo", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def forward(number: int, frame: FrameType | None) -> None:
            process.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if code == EXIT_STOPPED:
        raise UserError("stopped; run the same command to continue.", EXIT_STOPPED)
    if code != 0:
        errors = [
            line
            for line in log.read_text("utf-8", "replace").splitlines()
            if line.startswith("attnzoo: error")
        ]
        reason = errors[-1].removeprefix("attnzoo: error: ") if errors else f"ended with exit code {code}"
        raise UserError(f"{run}: {reason} (output: {log})", code if code > 0 else 1)


def _outcome(
    variant: Variant, runs: Sequence[Path], headline: Sequence[str], report: Callable[[str], None]
) -> Outcome:
    results = [read_json(run / "result.json") for run in runs]
    (monitor,) = results[0]["validation"]
    by_seed = [
        {name: value for name, value in result["metrics"].items() if not isinstance(value, str)}
        for result in results
    ]
    # A metric can be undefined for some seeds, such as the rank correlation of equal predictions.
    names = [name for name in by_seed[0] if all(name in metrics for metrics in by_seed)]
    missing = sorted(set().union(*by_seed) - set(names))
    if missing:
        report(
            f"{variant.name}: {', '.join(missing)}: left out, because undefined for some seeds; see "
            "result.json."
        )
    return Outcome(
        name=variant.name,
        runs=[str(run) for run in runs],
        monitor=monitor,
        validation=[result["validation"][monitor] for result in results],
        split=results[0]["split"],
        metrics={name: [metrics[name] for metrics in by_seed] for name in names},
        headline=[name for name in headline if name in names],
        num_parameters=results[0]["num_parameters"],
        targets_per_second=[_median_speed(run) for run in runs],
        peak_memory_bytes=[result["peak_memory_bytes"] for result in results],
    )


def _median_speed(run: Path) -> float:
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()
    ]
    speeds = [line[SPEED] for line in lines if line.get("split") == "train" and line.get(SPEED)]
    return statistics.median(speeds) if speeds else float("nan")
