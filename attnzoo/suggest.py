"""What a person may have meant: the known word most like one that is not known."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

MAX_COMPARED = 1000
"""Known words that are compared: a file may have a million columns."""
CUTOFF = 0.6
"""Least likeness, 0 to 1, of a word that is offered."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word most like `word`; None where none is near."""
    matches = difflib.get_close_matches(word, list(itertools.islice(known, MAX_COMPARED)), n=1, cutoff=CUTOFF)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)`, or an empty string where no known word is near."""
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near is not None else ""


def hint(word: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" where a known word is near, else a list of what is known."""
    known = sorted(known)
    near = nearest(word, known)
    if near is not None:
        return f"did you mean '{near}'?"
    return "expected one of " + ", ".join(known) if known else "there is none"
