"""Formats the results of bench_attention.py as Markdown."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from bench_attention_peers import DTYPES, MATMUL, Case

BEGIN, END = "<!-- bench-attention -->", "<!-- /bench-attention -->"
NAMES = {"attnzoo": "attnzoo", "keras": "Keras", "torch": "PyTorch", "jax": "JAX"}
METHOD = (
    "Medians of {rounds} rounds; in a round every library runs once, in turn, in a process of its own on all "
    "cores, with tensors in its own layout. Keras: the faster of plain and XLA. ×: time over attnzoo's. "
    "GFLOP/s: 4·B·H·T²·d forward, 3.5 times that with backward; half of it for causal, the exact pairs for a "
    "window. MiB: resident memory beside the inputs. “over {memory_limit:g} GiB”: left out, for the copies "
    "of scores it would make."
)
Row = dict[str, Any]
"""A case, and the results of each library by "library variant"."""


def best(results: dict[str, Row], library: str) -> str | None:
    """Returns the fastest measured variant of a library."""
    measured = [name for name in results if name.split()[0] == library and "milliseconds" in results[name]]
    return min(measured, key=lambda name: results[name]["milliseconds"], default=None)


def best_milliseconds(row: Row, library: str) -> float | None:
    """Returns the time of the fastest variant."""
    name = best(row["results"], library)
    return None if name is None else row["results"][name]["milliseconds"]


def ratio(row: Row, library: str) -> float | None:
    """Returns the time of a library divided by that of this package."""
    ours, theirs = best_milliseconds(row, "attnzoo"), best_milliseconds(row, library)
    return None if ours is None or theirs is None else theirs / ours


def speed(row: Row) -> float | None:
    """Returns GFLOP/s of this package."""
    ours = best_milliseconds(row, "attnzoo")
    return None if ours is None else Case(**row["case"]).flops / 1e6 / ours


def peak(row: Row) -> float | None:
    """Returns GFLOP/s of a matrix product in the same rounds."""
    milliseconds = best_milliseconds(row, "matmul")
    return None if milliseconds is None else 2 * MATMUL**3 / 1e6 / milliseconds


def compile_seconds(row: Row) -> float | None:
    """Returns how many seconds longer the first call of this package took than the others."""
    ours = best(row["results"], "attnzoo")
    if ours is None:
        return None
    return max(0.0, row["results"][ours]["first_call"] - row["results"][ours]["milliseconds"]) / 1e3


def mebibytes(row: Row, library: str) -> float | None:
    """Returns the memory in addition to the inputs, if it was measured."""
    results = [result for name, result in row["results"].items() if name.split()[0] == library]
    return next((result["bytes"] / 2**20 for result in results if "bytes" in result), None)


def number(value: float | None) -> str:
    """Formats a number with three significant digits, and no fewer than those before the point."""
    if value is None:
        return "–"
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}"


def time_cell(row: Row, library: str) -> str:
    """Formats the median of a library's fastest variant in milliseconds, or the reason why there is none."""
    name = best(row["results"], library)
    if name is None:
        results = [result for name, result in row["results"].items() if name.split()[0] == library]
        return next((result["note"] for result in results if "note" in result), "–")
    variant = f" {name.split()[1]}" if library == "keras" else ""
    return number(row["results"][name]["milliseconds"]) + variant


def shape_cell(case: Case) -> str:
    """Formats batch x heads x length x dim."""
    return f"{case.batch}×{case.heads}×{case.length}×{case.dim}"


def mask_cell(case: Case) -> str:
    """Formats the mask."""
    return f"window {case.window}" if case.mask == "window" else case.mask


def markdown(header: list[str], lines: list[list[str]]) -> list[str]:
    """Returns a table whose first two columns are aligned left."""
    rule = ["---", "---", *["---:"] * (len(header) - 2)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *lines)]


def main_table(rows: list[Row], peers: list[str]) -> list[str]:
    """Returns a table with one row per case and all results."""
    header = ["B×H×T×d", "mask", "attnzoo ms", "GFLOP/s", "of peak", "Keras ms", "×"]
    for peer in peers:
        header += [f"{NAMES[peer]} ms", "×"]
    header += ["MiB attnzoo", "MiB Keras", "compile s"]
    lines = []
    for row in rows:
        case, own, highest = Case(**row["case"]), speed(row), peak(row)
        cells = [shape_cell(case), mask_cell(case), time_cell(row, "attnzoo"), number(own)]
        cells.append("–" if own is None or highest is None else f"{own / highest:.0%}")
        for library in ("keras", *peers):
            cells += [time_cell(row, library), number(ratio(row, library))]
        cells += [number(mebibytes(row, library)) for library in ("attnzoo", "keras")]
        lines.append([*cells, number(compile_seconds(row))])
    return markdown(header, lines)


def short_table(rows: list[Row], peers: list[str]) -> list[str]:
    """Returns a table with one row per shape and dtype and one column per mask: our time and the ratios."""
    table: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        case, cells = Case(**row["case"]), [time_cell(row, "attnzoo")]
        for library in ("keras", *peers):
            factor = ratio(row, library)
            cells.append(time_cell(row, library) if factor is None else number(factor) + "×")
        table.setdefault((shape_cell(case), case.dtype), {})[mask_cell(case)] = " · ".join(cells)
    masks = list(dict.fromkeys(mask for line in table.values() for mask in line))
    lines = [[*key, *[line.get(mask, "–") for mask in masks]] for key, line in table.items()]
    names = ["attnzoo ms", *[f"{NAMES[library]} ×" for library in ("keras", *peers)]]
    return [f"Cells: {' · '.join(names)}", "", *markdown(["B×H×T×d", "type", *masks], lines)]


def render(report: dict[str, Any]) -> str:
    """Returns the whole report: machine and versions, then a table for each kind of work."""
    rows = report["rows"]

    def chosen(**fields: Any) -> list[Row]:
        return [row for row in rows if all(row["case"][name] == value for name, value in fields.items())]

    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"{report['machine']}. {versions}. {report['date']}. `{report['command']}`"]
    peaks = [value for row in rows if (value := peak(row)) is not None]
    if peaks:
        lines.append(f"Peak is the faster of plain and XLA matmul, float32, {MATMUL}³, in the same rounds:")
        lines.append(f"{number(statistics.median(peaks))} GFLOP/s in the median.")
    lines += ["", METHOD.format(**report)]
    peers = [library for library in ("torch", "jax") if NAMES[library] in report["versions"]]
    parts = [
        (f"Forward and backward, {dtype}.", chosen(level="function", backward=True, dtype=dtype), main_table)
        for dtype in DTYPES
    ]
    parts += [
        ("Forward.", chosen(level="function", backward=False), short_table),
        (
            "`MultiHeadAttention` with its projections, forward and backward.",
            chosen(level="layer"),
            short_table,
        ),
    ]
    for title, part_rows, table in parts:
        if part_rows:
            between = [] if table is short_table else [""]
            lines += [
                "",
                title,
                *between,
                *table(part_rows, [] if part_rows[0]["case"]["level"] == "layer" else peers),
            ]
    return "\n".join(lines) + "\n"


def has_markers(path: Path) -> bool:
    """Returns whether a file has both markers, in order."""
    return END in path.read_text(encoding="utf-8").partition(BEGIN)[2]


def put_between_markers(path: Path, text: str) -> None:
    """Replaces the text between the markers in a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
