"""Which texts are written without spaces between words. Imports no TensorFlow."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_WITHOUT_SPACES = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ")
"""Beginnings of the names of their letters. Korean has spaces."""


def have_no_spaces(texts: Iterable[str]) -> bool:
    """Whether most letters of texts are of a script that has no spaces between words, as Chinese and Thai."""
    total = without = 0
    for text in texts:
        for letter in text:
            if letter.isalpha():
                total += 1
                without += not letter.isascii() and unicodedata.name(letter, "").startswith(_WITHOUT_SPACES)
    return 2 * without > total
