"""What the benchmarks of training share: a table of speeds, each beside attnzoo's."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def print_speeds(speeds: Mapping[str, Sequence[float]], what: str, unit: str) -> None:
    """Prints a row a system, Markdown: the median of its speeds, and how often attnzoo's is that.

    Args:
        speeds: name of the system -> its speeds; "attnzoo" is among them.
        what: heading of the names.
        unit: heading of the speeds.
    """
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    print(f"| {what} | {unit} | ratio |\n|---|---|---|")
    for name, speed in medians.items():
        print(f"| {name} | {speed:,.0f} | {medians['attnzoo'] / speed:.2f} |")
