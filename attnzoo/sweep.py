"""`attnzoo sweep CONFIG --vary`: a training for each value of an option and each seed, side by side.

Imports no TensorFlow: each training is a process of its own, so that its peak of memory is its own too.
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
from attnzoo.runs.data import task_of

SPEED = "speed/targets_per_second"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One combination of values.

    Attributes:
        name: the values, for people.
        overrides: as after `--set`.
    """

    name: str
    overrides: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a variant, over its seeds.

    Attributes:
        name: of the variant.
        runs: folders of its runs, one a seed.
        monitor: metric by which weights are chosen.
        validation: its best value on validation, one a seed.
        split: "test", or "validation" where the data has no test.
        metrics: metric on that split that every seed has -> values, one a seed.
        headline: metrics of it that a table shows besides the monitored one.
        num_parameters: of the model.
        targets_per_second: median over the steps of each run, one a seed.
        peak_memory_bytes: most resident memory of a training process, one a seed.
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
    """Returns every combination of the values of `KEY=VALUE,VALUE,...`, the last key changing fastest.

    Raises:
        UserError: no key, no value, or a value twice.
    """
    axes = [_values(text) for text in vary]
    return [
        Variant(", ".join(name for _, name in chosen), tuple(override for override, _ in chosen))
        for chosen in itertools.product(*axes)
    ]


def _values(text: str) -> list[tuple[str, str]]:
    """Returns (override, value for people) of each value."""
    origin = Origin(f"--vary {' '.join(text.split())}", (1, 0))
    key, equals, listed = text.partition("=")
    expected = "expected KEY=VALUE,VALUE,... such as model.attention.name=additive,linear"
    if not (key.strip() and equals and listed.strip()):
        raise UserError(f"{origin.label}: {expected}.")
    values = parse_value(f"[{listed}]", origin).values
    written = [value if isinstance(value, str) else json.dumps(value) for value in values]
    if len(set(written)) != len(written):
        raise UserError(f"{origin.label}: a value is there twice.")
    return [(f"{key.strip()}={json.dumps(value)}", text) for value, text in zip(values, written, strict=True)]


def sweep(
    config: Path,
    vary: Sequence[str],
    overrides: Sequence[str] = (),
    seeds: int = 3,
    out: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Trains every variant with every seed, one after another, and collects the results.

    What a sweep before this one has finished is not trained again, and what it began continues.

    Args:
        config: the config file.
        vary: see `variants`.
        overrides: `--set` for all variants.
        seeds: trainings of a variant: the seed of the config, and those after it.
        out: folder for the runs; None for `runs/sweeps/` and the config's name.
        say: is told of the progress.

    Raises:
        UserError: an option that does not exist or has a value out of range, before the first training; a
            training that failed, with its exit code; a request to stop (75).
    """
    chosen = variants(vary)
    resolved = [resolve(config, [*overrides, *one.overrides]) for one in chosen]
    tasks = [task_of(one.config) for one in resolved]
    if len({task.name for task in tasks}) > 1:
        names = ", ".join(sorted({task.name for task in tasks}))
        raise UserError(
            f"--vary: runs of different tasks ({names}) have no scores in common; sweep each alone."
        )
    folder = out or Path("runs") / "sweeps" / resolved[0].config.name
    plan = [
        (number, seed, folder / f"{_slug(one.name)}-seed{seed}")
        for number, (one, options) in enumerate(zip(chosen, resolved, strict=True))
        for seed in range(options.config.seed, options.config.seed + seeds)
    ]
    if len({path for *_, path in plan}) < len(plan):
        raise UserError("--vary: values that make the same folder name; vary them in separate calls.")
    found: dict[int, list[Path]] = {}
    for count, (number, seed, run) in enumerate(plan, 1):
        one = chosen[number]
        say(f"[{count}/{len(plan)}] {one.name}, seed {seed}: {run}")
        options = [*overrides, *one.overrides, f"seed={seed}"]
        command = ["train", str(config), "--run", str(run)]
        _train([*command, *(part for option in options for part in ("--set", option))], run)
        found.setdefault(number, []).append(run)
    monitor, _ = tasks[0].monitored(resolved[0].config.eval)
    headline = [monitor, *tasks[0].headline]
    return [_outcome(one, found[number], headline, say) for number, one in enumerate(chosen)]


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:100] or "variant"


def _train(arguments: list[str], run: Path) -> None:
    """Runs `attnzoo ARGUMENTS`; what it prints is kept beside the run."""
    log = run.with_name(f"{run.name}.log")
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("a", encoding="utf-8")
    with file:
        # In a session of its own: a signal comes to it once, from here.
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
        raise UserError("stopped; the same command continues.", EXIT_STOPPED)
    if code != 0:
        said = [
            line
            for line in log.read_text("utf-8", "replace").splitlines()
            if line.startswith("attnzoo: error")
        ]
        why = said[-1].removeprefix("attnzoo: error: ") if said else f"ended with exit code {code}"
        raise UserError(f"{run}: {why} (its output: {log})", code if code > 0 else 1)


def _outcome(
    variant: Variant, runs: Sequence[Path], headline: Sequence[str], say: Callable[[str], None]
) -> Outcome:
    results = [read_json(run / "result.json") for run in runs]
    (monitor,) = results[0]["validation"]
    scores = [
        {name: value for name, value in result["metrics"].items() if not isinstance(value, str)}
        for result in results
    ]
    # A metric that one seed lacks, such as a rank of predictions that are all the same, has no mean.
    names = [name for name in scores[0] if all(name in one for one in scores)]
    lacking = sorted(set().union(*scores) - set(names))
    if lacking:
        say(f"{variant.name}: {', '.join(lacking)}: not known of every seed, so left out; see result.json.")
    return Outcome(
        name=variant.name,
        runs=[str(run) for run in runs],
        monitor=monitor,
        validation=[result["validation"][monitor] for result in results],
        split=results[0]["split"],
        metrics={name: [one[name] for one in scores] for name in names},
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
