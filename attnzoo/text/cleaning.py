"""Cleaning of texts before tokenization, in graph operations that are also part of exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

_MARKUP = r"(?is)<!--.*?-->|<(?:script|style)\b.*?</(?:script|style)\s*>|<[/!?]?[a-z][^<>]*>"
_ENTITIES = {
    **{"nbsp": "\u00a0", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "ndash": "–", "mdash": "—"},
    **{"lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”", "hellip": "…"},
    "amp": "&",  # last, because `&amp;lt;` means `&lt;`
}
_SPACES = r"[\s\x0b\x85\p{Z}]+"


def clean(strings: tf.Tensor, steps: Sequence[str]) -> tf.Tensor:
    """Applies cleaning steps in order.

    Args:
        strings: <string>[batch], valid UTF-8.
        steps: names from `STEPS`.

    Returns:
        <string>[batch], valid UTF-8.

    Examples:
        >>> texts = tf.constant(["<b>Tea</b> &amp; cake"])
        >>> clean(texts, ["html", "whitespace"]).numpy().tolist()
        [b' Tea & cake']
    """
    for step in steps:
        strings = STEPS[step](strings)  # [batch]
    return strings


def _replace_markup(strings: tf.Tensor) -> tf.Tensor:
    """Replaces each tag, comment, script and style sheet with a space, then each entity with its character.

    The entities are nbsp, lt, gt, quot, apos, ndash, mdash, lsquo, rsquo, ldquo, rdquo, hellip and amp, by
    name or number (`&#39;`, `&#x27;`); others are left unchanged.
    """
    strings = tf.strings.regex_replace(strings, _MARKUP, " ")
    for name, character in _ENTITIES.items():
        number = ord(character)
        entity = f"&(?:{name}|#0*{number}|#(?i:x0*{number:x}));"
        strings = tf.strings.regex_replace(strings, entity, character)
    return strings


def _collapse_spaces(strings: tf.Tensor) -> tf.Tensor:
    """Collapses each run of white space, including line breaks, into one space."""
    return tf.strings.regex_replace(strings, _SPACES, " ")


def _normalize(strings: tf.Tensor) -> tf.Tensor:
    """Returns the strings in Unicode normal form NFKC, which unifies compatible characters."""
    import tensorflow_text

    return tensorflow_text.normalize_utf8(strings, "NFKC")


STEPS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "html": _replace_markup,
    "whitespace": _collapse_spaces,
    "unicode": _normalize,
}
