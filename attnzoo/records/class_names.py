"""Names of classes: their order, how near they are to each other, and what in them was surely not meant."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from attnzoo.records.text_files import is_blank, shown
from attnzoo.suggest import did_you_mean

SEPARATORS = (",", ";", "|")
"""What stands between several labels."""
MAX_NUMBERS = 20
"""Whole numbers that may well be classes; more of them, with gaps between them, are amounts."""
MAX_FRACTION_ONCE = 0.5
"""Fraction of the classes with one example each from which on they look like ids."""
SHOWN_NAMES = 5
MIN_ONCE = 10
"""Classes below which that says nothing."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns distinct names, sorted: numbers first, by their value."""
    return tuple(sorted(set(names), key=lambda name: (not is_number(name), _value(name), name)))


def _value(name: str) -> float:
    return float(name) if is_number(name) else 0.0


def is_number(name: str) -> bool:
    """Whether a name is a decimal number."""
    return _NUMBER.fullmatch(name) is not None


def likeness(name: str) -> str:
    """Returns what names that look alike have in common: no letter case, no invisible signs."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(sign for sign in folded if sign.isspace() or not is_blank(sign)).split())


def hint(name: str, names: Sequence[str]) -> str:
    """Returns which of the names is probably meant by another, to stand behind a statement; else nothing."""
    alike = [known for known in names if likeness(known) == likeness(name)]
    if alike:
        return f" (only how it is written differs from '{visibly(alike[0])}')"
    return did_you_mean(name, names)


def visibly(name: str) -> str:
    """Returns a name with escapes for signs that are not seen."""
    return "".join(sign if sign == " " or not is_blank(sign) else ascii(sign)[1:-1] for sign in shown(name))


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Returns the groups of names that people take for one; classes of single characters tell case apart."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if len(name) > 1:
            groups[likeness(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def doubts(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yields what in classes was surely not meant, a line each.

    Args:
        names: of the classes.
        counts: split -> examples of each class, <int>[classes].
    """
    groups = look_alikes(names)
    if groups:
        written = " and ".join(f"'{visibly(name)}'" for name in groups[0])
        others = f" (and {len(groups) - 1} more such groups)" if len(groups) > 1 else ""
        yield f"the labels {written}{others} differ only in how they are written; are they one?"
    once = int(np.count_nonzero(counts["train"] == 1))
    if once > MAX_FRACTION_ONCE * len(names) and len(names) >= MIN_ONCE:
        yield (
            f"{once:,} of {len(names):,} labels have one example each, too few to learn from; is it a column "
            "of ids or of free text?"
        )
    else:
        yield from _missing(names, counts)
    yield from _kind_doubts(names)


def _missing(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> Iterator[str]:
    for split, of_split in counts.items():
        missing = [shown(name) for name, count in zip(names, of_split, strict=True) if not count]
        if missing:
            listed = ", ".join(missing[:SHOWN_NAMES] + ["..."] * (len(missing) > SHOWN_NAMES))
            what = "learned" if split == "train" else f"measured in {split}"
            share = f"{len(missing):,} of {len(names):,} classes"
            yield f"{split} has no example of {share} ({listed}), which cannot be {what}."


def are_numbers(names: Sequence[str]) -> bool:
    """Whether all names are decimal numbers."""
    return all(map(is_number, names))


def _kind_doubts(names: Sequence[str]) -> Iterator[str]:
    if are_numbers(names) and _are_amounts([float(name) for name in names]):
        yield (
            f"the {len(names):,} labels are numbers, learned as classes without an order; a model that ends "
            "in _regressor learns numbers."
        )
    known = set(names)
    for separator in SEPARATORS:
        several = [name for name in names if separator in name and known.issuperset(_parts(name, separator))]
        if several:
            yield (
                f"the label '{shown(several[0])}' looks like several of the others; where examples have "
                f"several, use a multi_label model with data.label_separator: '{separator}'."
            )


def _are_amounts(numbers: Sequence[float]) -> bool:
    if not all(number.is_integer() for number in numbers):
        return True
    return len(numbers) > MAX_NUMBERS and max(numbers) - min(numbers) > 2 * len(numbers)


def _parts(name: str, separator: str) -> list[str]:
    return [part.strip() for part in name.split(separator)]
