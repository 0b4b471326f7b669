"""Texts that are safe to show."""

from __future__ import annotations


def visible(text: str) -> str:
    """Returns a text with escapes for characters that print nothing, or command a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
