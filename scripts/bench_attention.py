"""Benchmarks attention on CPUs: this package, Keras and, if installed, PyTorch and JAX, side by side.

python scripts/bench_attention.py --quick
python scripts/bench_attention.py --torch-python ../torch/bin/python --json attention.json
python scripts/bench_attention.py --table attention.json --write attnzoo/attention/README.md
python scripts/bench_attention.py --long

Each library runs in its own process (bench_attention_peers.py) and has all cores while the others sleep. A
round calls each one once, in turn, so that disturbances of the machine affect all; the table has medians over
the rounds. Results are compared before they are timed: float32 results must agree.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_attention_peers import DTYPES, LEVELS, MASKS, Case
from bench_attention_rounds import (
    MIN_ROUNDS,
    OURS,
    SECONDS,
    Bench,
    PeerError,
    in_fresh_process,
    print_progress,
)
from bench_attention_table import BEGIN, END, has_markers, number, put_between_markers, render

PASSES = ("forward", "both")
CHOICES = (
    "quick",
    "lengths",
    "dtypes",
    "masks",
    "passes",
    "heads",
    "levels",
    "dim",
    "window",
    "rounds",
    "memory_limit",
)
"""Options that the table names if they are not the default."""
QUICK = {
    "lengths": [512, 2048],
    "dtypes": ["float32"],
    "masks": ["full", "causal"],
    "passes": ["both"],
    "rounds": 5,
}
LONG = {"dtypes": ["float32"], "masks": ["full"]}
TOKENS = 2048
"""Batch size times length, for lengths up to this."""


def plan(arguments: argparse.Namespace) -> list[Case]:
    """Returns the cases, ordered by length.

    A window that covers the whole sequence is the same as the causal mask, and is skipped. Layers are
    measured forward and backward, as in training, and without a window.
    """
    cases = []
    for length, dtype, mask, work, level in itertools.product(
        arguments.lengths, arguments.dtypes, arguments.masks, arguments.passes, arguments.levels
    ):
        if mask == "window" and (length <= arguments.window or level == "layer"):
            continue
        if level == "layer" and work == "forward":
            continue
        batch = max(1, TOKENS // length)
        shape = (batch, arguments.heads, length, arguments.dim)
        cases.append(Case(level, *shape, dtype, mask, arguments.window, work == "both"))
    return sorted(cases, key=lambda case: case.length)


def weight(case: Case, rounds: int) -> float:
    """Estimates the duration of a case, for the remaining time."""
    round_seconds = 5 * case.flops / 1e11
    return 15 + MIN_ROUNDS * round_seconds + min(SECONDS, rounds * round_seconds)


def measure_all(bench: Bench, cases: list[Case], report: dict[str, Any], json_file: Path | None) -> None:
    """Measures the cases and adds them to the report, which is saved after each."""
    begin, done, total = time.monotonic(), 0.0, sum(weight(case, bench.rounds) for case in cases)
    for count, case in enumerate(cases, 1):
        row = bench.measure(case)
        report["rows"].append(row)
        if json_file:
            json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        done += weight(case, bench.rounds)
        left = (time.monotonic() - begin) * (total / done - 1)
        print_progress(f"{count}/{len(cases)} {in_words(case)}: {summary(row)}; {duration(left)} left")


def in_words(case: Case) -> str:
    """Returns a human-readable name of a case."""
    shape = [case.batch, case.heads, case.length, case.dim]
    return f"{case.level} {shape} {case.dtype} {case.mask} {'both' if case.backward else 'forward'}"


def summary(row: dict[str, Any]) -> str:
    """Formats times and differences on one line."""
    parts = []
    for name, result in row["results"].items():
        text = result["note"] if "note" in result else f"{number(result['milliseconds'])} ms"
        if "difference" in result:
            text += f" (difference {result['difference']:.0e})"
        parts.append(f"{name} {text}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Formats a duration as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def machine() -> str:
    """Returns processor, cores and memory."""
    cpu_info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpu_info.read_text()) if cpu_info.exists() else None
    cores = len(os.sched_getaffinity(0))
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model[1] if model else platform.processor()}, {cores} cores, {gibibytes:.0f} GiB"


def positive(text: str) -> int:
    """Parses an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def make_parser() -> argparse.ArgumentParser:
    """Returns the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--lengths", type=positive, nargs="+", default=[2**n for n in range(7, 15)])
    what.add_argument("--dtypes", choices=DTYPES, nargs="+", default=list(DTYPES))
    what.add_argument("--masks", choices=MASKS, nargs="+", default=list(MASKS))
    what.add_argument(
        "--passes", choices=PASSES, nargs="+", default=list(PASSES), help="both: forward and backward"
    )
    what.add_argument("--levels", choices=LEVELS, nargs="+", default=list(LEVELS))
    what.add_argument("--heads", type=positive, default=8)
    what.add_argument("--dim", type=positive, default=64, help="width of a head")
    what.add_argument("--window", type=positive, default=256, help="keys that a query sees with mask window")
    what.add_argument(
        "--rounds", type=positive, default=9, help=f"{MIN_ROUNDS} or more if they take over {SECONDS} s"
    )
    what.add_argument(
        "--memory-limit", type=float, default=8.0, metavar="GIB", help="leave out what would take more"
    )
    what.add_argument("--quick", action="store_true", help="a few cases, in about 3 minutes")
    what.add_argument(
        "--long",
        type=positive,
        nargs="?",
        const=65536,
        metavar="LENGTH",
        help="this package alone, one call forward and backward at a great length (65536)",
    )
    for library, name in (("torch", "PyTorch"), ("jax", "JAX")):
        variable = f"{library.upper()}_PYTHON"
        parser.add_argument(
            f"--{library}-python",
            metavar="PATH",
            default=os.environ.get(variable) or None,
            help=f"a Python that has {name}; without, the environment variable {variable}",
        )
    parser.add_argument("--write", type=Path, metavar="FILE", help=f"put the table between {BEGIN} and {END}")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="save the results after each case; results in the file are kept and not measured again",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="print the table of such a file; measure nothing"
    )
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Returns the options; `command` is the command line that repeats the measurement."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.quick or arguments.long:
        parser.set_defaults(**(LONG if arguments.long else QUICK))
        arguments = parser.parse_args(argv)
    for python in (arguments.torch_python, arguments.jax_python):
        if python and not os.access(python, os.X_OK):
            parser.error(f"no Python at {python}")
    if arguments.table and not arguments.table.is_file():
        parser.error(f"--table: no file {arguments.table}")
    if arguments.write and not (arguments.write.is_file() and has_markers(arguments.write)):
        parser.error(f"--write: no lines {BEGIN} and {END} in {arguments.write}")
    command = ["python scripts/bench_attention.py"]
    for name in CHOICES:
        value = getattr(arguments, name)
        if value != parser.get_default(name):
            values = value if isinstance(value, list) else [] if value is True else [value]
            command += [f"--{name.replace('_', '-')}", *map(str, values)]
    arguments.command = " ".join(command)
    return arguments


def run_long(arguments: argparse.Namespace, folder: Path) -> None:
    """Measures one call of this package with a long sequence, including compilation."""
    for dtype, mask in itertools.product(arguments.dtypes, arguments.masks):
        shape = (1, arguments.heads, arguments.long, arguments.dim)
        case = Case("function", *shape, dtype, mask, arguments.window, True)
        result = in_fresh_process(case, OURS, {"attnzoo": sys.executable}, folder, calls=1)
        print(
            f"{machine()}: {in_words(case)}: {result['milliseconds'] / 1e3:,.1f} s with compilation, "
            f"{result['bytes'] / 2**20:,.0f} MiB in addition to the inputs"
        )


def continue_from(json_file: Path | None, report: dict[str, Any]) -> None:
    """Loads the rows of an earlier run on the same machine with the same versions.

    Raises:
        PeerError: the results are from another machine or other versions.
    """
    if json_file is None or not json_file.exists():
        return
    earlier = json.loads(json_file.read_text(encoding="utf-8"))
    for key in ("machine", "versions"):
        if earlier[key] != report[key]:
            raise PeerError(
                f"{json_file} has results of {earlier[key]}, not of {report[key]}; choose another file"
            )
    report["rows"] = earlier["rows"]
    report["command"] = f"{earlier['command']}` and `{report['command']}"


def run_benchmark(arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """Returns the report, and whether it was interrupted by Ctrl-C."""
    pythons = {"attnzoo": sys.executable, "keras": sys.executable}
    pythons |= {"torch": arguments.torch_python} if arguments.torch_python else {}
    pythons |= {"jax": arguments.jax_python} if arguments.jax_python else {}
    bench = Bench(pythons, arguments.rounds, arguments.memory_limit, folder)
    report: dict[str, Any] = {
        "machine": machine(),
        "versions": {},
        "date": datetime.date.today().isoformat(),
        "command": arguments.command,
        "rounds": arguments.rounds,
        "memory_limit": arguments.memory_limit,
        "rows": [],
    }
    try:
        report["versions"] = bench.versions()
        continue_from(arguments.json, report)
        done = [row["case"] for row in report["rows"]]
        cases = [case for case in plan(arguments) if case._asdict() not in done]
        measure_all(bench, cases, report, arguments.json)
    except KeyboardInterrupt:
        print_progress("interrupted: the table has the results so far")
        return report, True
    finally:
        bench.close()
    return report, False


def main() -> int:
    """Measures, or loads earlier results, and prints the table."""
    arguments = parse(sys.argv[1:])
    stopped = False
    if arguments.table:
        report = json.loads(arguments.table.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as folder:
            try:
                if arguments.long:
                    run_long(arguments, Path(folder))
                    return 0
                report, stopped = run_benchmark(arguments, Path(folder))
            except PeerError as error:
                sys.exit(f"bench_attention: {error}")
    report["rows"].sort(key=lambda row: row["case"]["length"])
    if report["rows"]:
        print(render(report), end="")
        if arguments.write and not stopped:
            put_between_markers(arguments.write, render(report))
    failed = any("milliseconds" not in row["results"][OURS] for row in report["rows"])
    return 130 if stopped else int(failed)


if __name__ == "__main__":
    sys.exit(main())
