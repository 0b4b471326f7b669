"""The interface of tokenizers: texts to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from attnzoo.special_tokens import END, PADDING, START, UNKNOWN
from attnzoo.text import cleaning

_SPACES = r"[\p{Z}\p{Cc}]+"


class Tokenizer(tf.Module):
    """Strings to token ids and back. Create one with `from_state`.

    Ids 0 to 3 are PADDING, UNKNOWN, START and END; `encode` adds neither START nor END. Invalid UTF-8 is
    replaced with U+FFFD, so that no input makes a served model fail.

    Args:
        lowercase: whether texts are lowercased, after cleaning.
        clean: names of the `cleaning.STEPS` to apply first.

    Attributes:
        vocabulary_size: number of token ids, including the 4 special ones.
    """

    vocabulary_size: int

    def __init__(self, lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__()
        self.lowercase, self.clean = lowercase, tuple(clean)

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the token ids <int32>[batch, (time)] of strings <string>[batch]."""
        raise NotImplementedError

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns texts <string>[batch] of ids <int32>[batch, time]; a text ends before its first END."""
        raise NotImplementedError

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the token of each id, <string> of the shape of `ids`."""
        raise NotImplementedError

    def unknown_words(self, text: str) -> list[str]:
        """Returns the words of a text that become UNKNOWN, in order."""
        return []

    def pieces(self, ids: tf.Tensor) -> list[list[str]]:
        """Returns the human-readable tokens of ids <int32>[batch, time], without padding."""
        ids = tf.cast(ids, tf.int32)
        names = {UNKNOWN: "(unknown)", START: "(start)", END: "(end)"}
        return [
            [
                names.get(number) or token.decode("utf-8", "backslashreplace")
                for number, token in zip(row, tokens, strict=True)
                if number != PADDING
            ]
            for row, tokens in zip(ids.numpy().tolist(), self.token(ids).numpy(), strict=True)
        ]


def kept_ids(ids: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids <int32>[batch, (time)] before the first END, without PADDING and START."""
    ids = tf.cast(ids, tf.int32)  # [batch, time]
    return tf.ragged.boolean_mask(ids, is_kept(ids))  # [batch, (time)]


def is_kept(ids: tf.Tensor) -> tf.Tensor:
    """Returns which ids <int32>[batch, time] are part of the text, <bool>[batch, time]."""
    after_end = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0  # [batch, time]
    return ~after_end & (ids != PADDING) & (ids != START)


def prepare(strings: tf.Tensor, lowercase: bool, clean: Sequence[str]) -> tf.Tensor:
    """Returns strings <string>[batch] as valid UTF-8, cleaned, and lowercased if requested."""
    strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")  # [batch]
    strings = cleaning.clean(strings, clean)  # [batch]
    return tf.strings.lower(strings, encoding="utf-8") if lowercase else strings  # [batch]


def single_spaces(strings: tf.Tensor) -> tf.Tensor:
    """Returns strings <string>[batch] with runs of spaces and control characters collapsed into one space."""
    return tf.strings.regex_replace(strings, _SPACES, " ")
