"""Word alignments of translation pairs, as aligners write them: `0-0 1-2`. Imports no TensorFlow."""

from __future__ import annotations

import re

from attnzoo.records.text_files import shown

_WORD = re.compile(r"[^ \t]+")
_PAIR = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")


def words(text: str) -> list[str]:
    """Returns what spaces and tabs part."""
    return _WORD.findall(text)


def pairs(line: str) -> list[tuple[int, int]]:
    """Returns (source word, target word) of each pair of a line without a `problem`, numbered from 0."""
    return [(int(source), int(target)) for source, target in (pair.split("-") for pair in line.split())]


def problem(line: str, source: str, target: str) -> str | None:
    """Returns what is wrong with the alignment of two texts, or None.

    Args:
        line: pairs `source-target` of word numbers from 0, with spaces between them; may be empty.
        source, target: the texts.
    """
    counts = [len(words(text)) for text in (source, target)]
    for pair in line.split():
        found = _PAIR.fullmatch(pair)
        if found is None:
            return f"'{shown(pair)}' is no pair of word numbers such as 1-2"
        for name, number, count in zip(("source", "target"), map(int, found.groups()), counts, strict=True):
            if number >= count:
                return f"{pair}: the {name} has {count} words, numbered from 0"
    return None
