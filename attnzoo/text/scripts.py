"""Detects scripts that are written without spaces between words. Imports no TensorFlow."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_WITHOUT_SPACES = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ")
"""Prefixes of the Unicode names of their letters. Korean uses spaces."""


def have_no_spaces(texts: Iterable[str]) -> bool:
    """Whether most letters of texts belong to a script without spaces between words, such as Chinese or Thai.

    Examples:
        >>> have_no_spaces(["今天天气很好"]), have_no_spaces(["good day"])
        (True, False)
    """
    total = without = 0
    for text in texts:
        for letter in text:
            if letter.isalpha():
                total += 1
                without += not letter.isascii() and unicodedata.name(letter, "").startswith(_WITHOUT_SPACES)
    return 2 * without > total
