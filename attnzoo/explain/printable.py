"""Texts that are safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Returns a text with invisible and control characters escaped.

    Examples:
        >>> print(printable("a\tb\x1b[2J"))
        a\tb\x1b[2J
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
