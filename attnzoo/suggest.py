"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

MAX_COMPARED = 1000
"""Only so many known words are compared: a file may have a million columns."""
MIN_SIMILARITY = 0.6
"""Minimum similarity, 0 to 1, of a word that is suggested."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word most similar to `word`; None if there is none.

    Examples:
        >>> nearest("epoch", ["epochs", "steps"])
        'epochs'
    """
    matches = difflib.get_close_matches(
        word, list(itertools.islice(known, MAX_COMPARED)), n=1, cutoff=MIN_SIMILARITY
    )
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)", or an empty string if no known word is similar."""
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near is not None else ""


def hint(word: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" if a known word is similar, else a list of the known words."""
    known = sorted(known)
    near = nearest(word, known)
    if near is not None:
        return f"did you mean '{near}'?"
    return "expected one of " + ", ".join(known) if known else "there is none"
