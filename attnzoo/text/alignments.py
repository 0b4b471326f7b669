"""Word alignments of translation pairs in the format of aligners: `0-0 1-2`. Imports no TensorFlow."""

from __future__ import annotations

import re

from attnzoo.records.text_files import printable

_WORD = re.compile(r"[^ \t]+")
_PAIR = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")


def words(text: str) -> list[str]:
    """Returns the words of a text, separated by spaces and tabs."""
    return _WORD.findall(text)


def pairs(line: str) -> list[tuple[int, int]]:
    """Returns the (source word, target word) pairs of a valid line, numbered from 0.

    Examples:
        >>> pairs("0-0 1-2")
        [(0, 0), (1, 2)]
    """
    return [(int(source), int(target)) for source, target in (pair.split("-") for pair in line.split())]


def find_problem(line: str, source: str, target: str) -> str | None:
    """Returns the problem of the alignment of two texts, or None if it is valid.

    Args:
        line: pairs `source-target` of word numbers from 0, separated by spaces; may be empty.
        source, target: the texts.

    Examples:
        >>> find_problem("0-0 1-2", "guten Tag", "good day")
        '1-2: the target has 2 words, numbered from 0'
    """
    counts = [len(words(text)) for text in (source, target)]
    for pair in line.split():
        match = _PAIR.fullmatch(pair)
        if match is None:
            return f"'{printable(pair)}' is not a pair of word numbers such as 1-2"
        for name, number, count in zip(("source", "target"), map(int, match.groups()), counts, strict=True):
            if number >= count:
                return f"{pair}: the {name} has {count} words, numbered from 0"
    return None
