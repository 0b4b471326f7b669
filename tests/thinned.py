"""Parameters of which the default suite takes a few: the others are for the slow one."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def thinned(cases: Iterable[Any], every: int, ids: Sequence[str] | None = None) -> list[Any]:
    """Marks as slow all cases but the first of `every` ones.

    Args:
        cases: arguments of a test; tuples for several.
        every: how many cases one of the default suite stands for.
        ids: a name for each.
    """
    found = []
    for number, case in enumerate(cases):
        values = case if type(case) is tuple else (case,)
        marks = () if number % every == 0 else pytest.mark.slow
        found.append(pytest.param(*values, marks=marks, id=ids[number] if ids else None))
    return found
