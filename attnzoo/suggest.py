"""Suggestions for misspelled words."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

MAX_COMPARED = 1000
"""Most known words to compare with, as a file may have a million columns."""
CUTOFF = 0.6
"""Smallest similarity of a suggestion, 0 to 1."""


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word most similar to `word`, or None if none is similar.

    Examples:
        >>> closest_match("lable", ["text", "label"])
        'label'
    """
    matches = difflib.get_close_matches(word, list(itertools.islice(known, MAX_COMPARED)), n=1, cutoff=CUTOFF)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)`, or an empty string if no known word is similar.

    Examples:
        >>> did_you_mean("lable", ["text", "label"])
        " (did you mean 'label'?)"
    """
    match = closest_match(word, known)
    return f" (did you mean {match!r}?)" if match is not None else ""


def hint(word: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" if a known word is similar, else a list of the known words."""
    known = sorted(known)
    match = closest_match(word, known)
    if match is not None:
        return f"did you mean '{match}'?"
    return "expected one of " + ", ".join(known) if known else "there is none"
