"""Class names: their order, look-alikes, and notes on labels that are probably mistakes."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from attnzoo.records.text_files import is_blank, printable
from attnzoo.suggest import did_you_mean

SEPARATORS = (",", ";", "|")
"""Characters that commonly separate several labels in one column."""
MAX_NUMBERS = 20
"""Most distinct whole numbers that are plausible as classes; more of them, with gaps, are quantities."""
MAX_SINGLETON_FRACTION = 0.5
"""Labels look like ids if more than this fraction of them has a single example."""
SHOWN_NAMES = 5
MIN_CLASSES_FOR_IDS = 10
"""With fewer classes than this, single examples are no sign of ids."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the distinct names in sorted order: numbers first, by value, then the rest alphabetically.

    Examples:
        >>> sort_names(["b", "10", "9", "a", "9"])
        ('9', '10', 'a', 'b')
    """
    return tuple(sorted(set(names), key=lambda name: (not is_number(name), _numeric_value(name), name)))


def _numeric_value(name: str) -> float:
    return float(name) if is_number(name) else 0.0


def is_number(name: str) -> bool:
    """Whether a name is a decimal number."""
    return _NUMBER.fullmatch(name) is not None


def comparison_key(name: str) -> str:
    """Returns a key shared by names that differ only in case, white space or invisible characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(char for char in folded if char.isspace() or not is_blank(char))
    return " ".join(visible.split())


def spelling_hint(name: str, names: Sequence[str]) -> str:
    """Returns the known name that was probably meant, in parentheses for a message, or an empty string."""
    alike = [known for known in names if comparison_key(known) == comparison_key(name)]
    if alike:
        return (
            f" (it differs from '{escape_invisible(alike[0])}' only in case, spaces or invisible characters)"
        )
    return did_you_mean(name, names)


def escape_invisible(name: str) -> str:
    """Returns the name with invisible characters as escape sequences."""
    return "".join(
        char if char == " " or not is_blank(char) else ascii(char)[1:-1] for char in printable(name)
    )


def find_look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Returns groups of names that are hard to tell apart by eye.

    Names of a single character are exempt, as letters may well be classes by case.

    Examples:
        >>> find_look_alikes(["tea", "Tea ", "egg", "a", "A"])
        [['tea', 'Tea ']]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if len(name) > 1:
            groups[comparison_key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def class_notes(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yields a line for each property of the classes that is probably a mistake.

    Args:
        names: class names.
        counts: split -> number of examples of each class, <int>[classes].
    """
    groups = find_look_alikes(names)
    if groups:
        quoted = " and ".join(f"'{escape_invisible(name)}'" for name in groups[0])
        others = f" (and {len(groups) - 1} more such groups)" if len(groups) > 1 else ""
        yield (
            f"the labels {quoted}{others} differ only in case, spaces or invisible characters; are they the "
            "same class?"
        )
    num_singletons = int(np.count_nonzero(counts["train"] == 1))
    if num_singletons > MAX_SINGLETON_FRACTION * len(names) and len(names) >= MIN_CLASSES_FOR_IDS:
        yield (
            f"{num_singletons:,} of {len(names):,} labels have only one example, too few to learn from; is "
            "this a column of ids or of free text?"
        )
    else:
        yield from _missing_notes(names, counts)
    yield from _kind_notes(names)


def _missing_notes(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> Iterator[str]:
    for split, split_counts in counts.items():
        missing = [printable(name) for name, count in zip(names, split_counts, strict=True) if not count]
        if missing:
            listed = ", ".join(missing[:SHOWN_NAMES] + ["..."] * (len(missing) > SHOWN_NAMES))
            consequence = "learned" if split == "train" else f"evaluated on {split}"
            fraction = f"{len(missing):,} of {len(names):,} classes"
            yield f"{split} has no examples of {fraction} ({listed}), which cannot be {consequence}."


def are_numbers(names: Sequence[str]) -> bool:
    """Whether all names are decimal numbers."""
    return all(map(is_number, names))


def _kind_notes(names: Sequence[str]) -> Iterator[str]:
    if are_numbers(names) and _are_quantities([float(name) for name in names]):
        yield (
            f"the {len(names):,} labels are numbers but are learned as unordered classes; to learn their "
            "values use a model whose name ends in _regressor."
        )
    known = set(names)
    for separator in SEPARATORS:
        several = [name for name in names if separator in name and known.issuperset(_parts(name, separator))]
        if several:
            yield (
                f"the label '{printable(several[0])}' looks like a combination of other labels; if examples "
                f"can have several, use a multi_label model with data.label_separator: '{separator}'."
            )


def _are_quantities(numbers: Sequence[float]) -> bool:
    if not all(number.is_integer() for number in numbers):
        return True
    return len(numbers) > MAX_NUMBERS and max(numbers) - min(numbers) > 2 * len(numbers)


def _parts(name: str, separator: str) -> list[str]:
    return [part.strip() for part in name.split(separator)]
