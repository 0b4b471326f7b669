"""Cleaning of texts before they are split into tokens, in graph operations that exports hold too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

_MARKUP = r"(?is)<!--.*?-->|<(?:script|style)\b.*?</(?:script|style)\s*>|<[/!?]?[a-z][^<>]*>"
_ENTITIES = {
    **{"nbsp": "\u00a0", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "ndash": "–", "mdash": "—"},
    **{"lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”", "hellip": "…"},
    "amp": "&",  # the last: `&amp;lt;` stands for `&lt;`
}
_SPACES = r"[\s\x0b\x85\p{Z}]+"


def clean(strings: tf.Tensor, steps: Sequence[str]) -> tf.Tensor:
    """Returns strings <string>[batch], valid UTF-8, after the steps in their order.

    Args:
        strings: <string>[batch], valid UTF-8.
        steps: names of `STEPS`.
    """
    for step in steps:
        strings = STEPS[step](strings)  # [batch]
    return strings


def _without_markup(strings: tf.Tensor) -> tf.Tensor:
    """Puts a space for each tag, comment, script and style sheet, then a character for each entity.

    The entities are nbsp, lt, gt, quot, apos, ndash, mdash, lsquo, rsquo, ldquo, rdquo, hellip and amp, by
    name or by number (`&#39;`, `&#x27;`); others stay as they are.
    """
    strings = tf.strings.regex_replace(strings, _MARKUP, " ")
    for name, character in _ENTITIES.items():
        number = ord(character)
        entity = f"&(?:{name}|#0*{number}|#(?i:x0*{number:x}));"
        strings = tf.strings.regex_replace(strings, entity, character)
    return strings


def _single_spaces(strings: tf.Tensor) -> tf.Tensor:
    """Puts one space for each run of white space, line breaks included."""
    return tf.strings.regex_replace(strings, _SPACES, " ")


def _normalized(strings: tf.Tensor) -> tf.Tensor:
    """Returns the strings in the Unicode normal form NFKC: one spelling for what looks or means the same."""
    import tensorflow_text

    return tensorflow_text.normalize_utf8(strings, "NFKC")


STEPS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "html": _without_markup,
    "whitespace": _single_spaces,
    "unicode": _normalized,
}
