"""Tokenizers: learned once from training texts, then pure TensorFlow from strings to token ids and back.

The same graph operations run while a vocabulary is learned, in `tf.data`, and inside an exported SavedModel,
so that training and serving cannot disagree.
"""

from __future__ import annotations

import base64
import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.special_tokens import NUM_BYTES, NUM_SPECIAL, UNKNOWN
from attnzoo.text import sentencepiece_models
from attnzoo.text.kinds import LEARNED, SUBWORD_MODELS, Tokenization
from attnzoo.text.tokenizer import Tokenizer, is_kept, kept_ids, prepare, single_spaces

TEXTS_PER_CHUNK = 1024

_LETTERS = r"[\p{L}\p{N}\p{M}\p{Co}][\p{L}\p{N}\p{M}\p{Co}\p{Cf}]*"
_FLAG = r"[\x{1F1E6}-\x{1F1FF}]{2}"
_SIGN = r"[^\s\p{L}\p{N}\p{M}\p{Co}\p{Cf}]"
_TONES = r"\x{1F3FB}-\x{1F3FF}"
_WORD = (
    # What is seen of a word or sign may hang on characters that are not: joiners, soft hyphens, selectors.
    rf"\p{{Cf}}*{_LETTERS}(?:['’]{_LETTERS})*"
    rf"|\p{{Cf}}*(?:{_FLAG}|{_SIGN})(?:\x{{200D}}{_SIGN}|[\p{{M}}\p{{Cf}}{_TONES}])*"
    r"|\p{Cf}+"
)
_SPACE_MARK, _ESCAPE = "\u2581", "\x01"
"""SentencePiece's sign for a space, and what stands for that sign in a text: no text has control characters
where words are split into pieces."""


class _TableTokenizer(Tokenizer):
    """A tokenizer whose ids come from a table of tokens.

    Args:
        tokens: tokens in the order of their ids.
        lowercase, clean: see `Tokenizer`.
    """

    separator: str
    unknown: str
    before: tuple[bytes, ...] = ()
    """Tokens that every vocabulary has, from id 4 on; those that are learned come after them."""

    def __init__(self, tokens: Sequence[str], lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__(lowercase, clean)
        every = [*self.before, *(token.encode("utf-8") for token in tokens)]
        self.vocabulary_size = NUM_SPECIAL + len(every)
        encoded = tf.constant(every, tf.string)  # [tokens]
        ids = tf.range(NUM_SPECIAL, self.vocabulary_size, dtype=tf.int32)  # [tokens]
        learned = slice(len(self.before), None)
        # Tables are attributes of a module: a SavedModel keeps only resources that it can reach this way.
        self.ids_by_token = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(encoded[learned], ids[learned]), UNKNOWN
        )
        self.tokens_by_id = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, encoded), self.unknown
        )

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens <string>[batch, (time)] of clean strings <string>[batch]."""
        raise NotImplementedError

    def words(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns what is looked up for strings <string>[batch], known or not: <string>[batch, (time)]."""
        return self.split(prepare(strings, self.lowercase, self.clean))

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.words(strings)  # [batch, (time)]
        return tokens.with_flat_values(self.ids_by_token.lookup(tokens.flat_values))  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        ids = tf.cast(ids, tf.int32)  # [batch, time]
        return self.joined(ids, self.tokens_by_id.lookup(ids))

    def joined(self, ids: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the texts <string>[batch] of tokens <string>[batch, time] that stand for ids."""
        kept = tf.ragged.boolean_mask(tokens, is_kept(ids))  # [batch, (time)]
        return tf.strings.reduce_join(kept, axis=-1, separator=self.separator)

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        return self.tokens_by_id.lookup(ids)


class WordTokenizer(_TableTokenizer):
    """Words and numbers with inner apostrophes (`don't`), and each other sign by itself.

    Characters that are not seen stay with the word or sign that they are in or before: joiners, soft hyphens,
    variation selectors; so do the parts of one emoji.
    """

    separator = " "
    unknown = "<unknown>"

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words and signs <string>[batch, (time)]."""
        spaced = single_spaces(strings)  # [batch]
        return tf.strings.split(tf.strings.regex_replace(spaced, _WORD, r"\0 "))  # [batch, (time)]


class CharacterTokenizer(_TableTokenizer):
    """Unicode code points, spaces included; one that training never had is the bytes of its UTF-8.

    Byte b is id b + 4, as in `ByteTokenizer`; characters come after the bytes.
    """

    separator = ""
    unknown = "\ufffd"
    before = tuple(bytes([byte]) for byte in range(NUM_BYTES))

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the code points <string>[batch, (time)]."""
        return tf.strings.unicode_split(strings, "UTF-8", errors="replace")  # [batch, (time)]

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of characters, and of the bytes of unknown ones <int32>[batch, (time)]."""
        characters = self.words(strings)  # [batch, (characters)]
        known = self.ids_by_token.lookup(characters.flat_values)  # [characters]
        is_known = known != UNKNOWN
        # One byte stands for a known character, so that it has one place.
        written = tf.where(is_known, "x", characters.flat_values)
        values = tf.strings.unicode_decode(written, "ISO-8859-1")  # [characters, (bytes)]
        places = values.value_rowids()
        ids = tf.where(
            tf.gather(is_known, places), tf.gather(known, places), values.flat_values + NUM_SPECIAL
        )
        each = values.with_flat_values(ids)  # [characters, (bytes)]
        return characters.with_flat_values(each).merge_dims(1, 2)  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the characters joined to valid UTF-8 <string>[batch]."""
        return tf.strings.unicode_transcode(super().decode(ids), "UTF-8", "UTF-8", errors="replace")


class ByteTokenizer(Tokenizer):
    """The bytes of UTF-8, byte b as id b + 4: no vocabulary is learned and no character is unknown.

    What is decoded is valid UTF-8: an id that is no byte and a broken sequence of bytes become U+FFFD.

    Reference: Xue et al. 2022 (ByT5), https://arxiv.org/abs/2105.13626
    """

    def __init__(self, lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__(lowercase, clean)
        self.vocabulary_size = NUM_SPECIAL + NUM_BYTES

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the bytes <int32>[batch, (time)]."""
        prepared = prepare(strings, self.lowercase, self.clean)  # [batch]
        # In Latin-1 each byte is the code point of its number.
        values = tf.strings.unicode_decode(prepared, "ISO-8859-1")  # [batch, (time)]
        return values.with_flat_values(values.flat_values + NUM_SPECIAL)  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the bytes joined to texts <string>[batch]."""
        written = kept_ids(ids)  # [batch, (time)]
        tokens = written.with_flat_values(self.token(written.flat_values))  # [batch, (time)]
        joined = tf.strings.reduce_join(tokens, axis=-1)  # [batch]
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")  # [batch]

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the byte of each id, <string> of the shape of `ids`; U+FFFD for one that is no byte."""
        tokens = tf.constant(["\ufffd".encode()] * NUM_SPECIAL + [bytes([byte]) for byte in range(NUM_BYTES)])
        return tf.gather(tokens, tf.where((ids >= 0) & (ids < self.vocabulary_size), ids, UNKNOWN))


class SubwordTokenizer(Tokenizer):
    """Pieces of words from a SentencePiece model.

    White space and control characters become single spaces; nothing else is normalized, and characters that
    training never had become the bytes of their UTF-8, so that decoding gives the text back exactly. A
    SavedModel with it needs `import tensorflow_text` where it is loaded.

    Args:
        model: serialised SentencePiece model.
        lowercase, clean: see `Tokenizer`.

    Reference: unigram: Kudo 2018, https://arxiv.org/abs/1804.10959; bpe: Sennrich et al. 2016,
        https://arxiv.org/abs/1508.07909
    """

    def __init__(self, model: bytes, lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__(lowercase, clean)
        import tensorflow_text

        self.model = tensorflow_text.SentencepieceTokenizer(model, out_type=tf.int32)
        self.vocabulary_size = int(self.model.vocab_size())

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the pieces <int32>[batch, (time)]."""
        return self.model.tokenize(self.spaced(strings))  # [batch, (time)]

    def spaced(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns strings <string>[batch] as they are split into pieces: words with single spaces between."""
        return _without_space_marks(single_spaces(prepare(strings, self.lowercase, self.clean)))  # [batch]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the pieces joined to texts <string>[batch]."""
        pieces = kept_ids(ids)  # [batch, (time)]
        known = tf.where(pieces.flat_values < self.vocabulary_size, pieces.flat_values, UNKNOWN)
        texts = self.model.detokenize(pieces.with_flat_values(known))  # [batch]
        return tf.strings.regex_replace(texts, _ESCAPE, _SPACE_MARK)

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the pieces; one that begins a word begins with U+2581."""
        return self.model.id_to_string(ids)


def build(
    kind: str, texts: Sequence[str], vocabulary_size: int, lowercase: bool, clean: Sequence[str] = ()
) -> dict[str, Any]:
    """Learns a vocabulary. The order of the texts does not matter.

    Args:
        kind: "words" or "characters" (the most frequent ones, ties by code point), "bytes", "subwords" or
            "bpe".
        texts: training texts; a list or <object>[examples] of str.
        vocabulary_size: most token ids, the 4 special ones included and the 256 bytes that all kinds but
            words have besides not. Subwords get fewer where the texts do not give that many.
        lowercase, clean: see `Tokenizer`.

    Returns:
        What `from_state` needs, as JSON: `kind`, `lowercase`, `clean` if there is any, and `tokens` (a list)
        or `model` (base64) or, for bytes, nothing.

    Raises:
        ValueError: unknown kind, or no id left beside the special ones.
        UserError: there is nothing to learn from, or `vocabulary_size` is too small for subwords.
    """
    kinds = get_args(Tokenization)
    if kind not in kinds:
        raise ValueError(f"Unknown kind of tokenizer {kind!r}; expected one of {', '.join(kinds)}.")
    if vocabulary_size <= NUM_SPECIAL:
        raise ValueError(
            f"vocabulary_size must be more than the {NUM_SPECIAL} special tokens; got {vocabulary_size}."
        )
    prepared = (prepare(chunk, lowercase, clean) for chunk in _chunks(texts))  # <string>[chunk] each
    common: dict[str, Any] = {"lowercase": lowercase, **({"clean": list(clean)} if clean else {})}
    if kind in SUBWORD_MODELS:
        model = sentencepiece_models.train(
            (_without_space_marks(single_spaces(chunk)) for chunk in prepared),
            SUBWORD_MODELS[kind],
            vocabulary_size,
        )
        if model is None:
            raise _nothing_to_learn(len(texts), kind)
        return {"kind": "subwords", **common, "model": base64.b64encode(model).decode("ascii")}
    if kind == "bytes":
        if not any(tf.reduce_any(chunk != "") for chunk in prepared):
            raise _nothing_to_learn(len(texts), kind)
        return {"kind": kind, **common}
    counts: collections.Counter[bytes] = collections.Counter()
    for chunk in prepared:
        tokens = _TABLE_TOKENIZERS[kind].split(chunk)  # [chunk, (time)]
        counts.update(tokens.flat_values.numpy().tolist())
    if not counts:
        raise _nothing_to_learn(len(texts), kind)
    ordered = sorted(counts, key=lambda token: (-counts[token], token))[: vocabulary_size - NUM_SPECIAL]
    return {"kind": kind, **common, "tokens": [token.decode("utf-8") for token in ordered]}


def _nothing_to_learn(num_texts: int, kind: str) -> UserError:
    return UserError(
        f"The training texts hold not one token ({num_texts} texts, kind {kind!r}); check the data."
    )


def from_state(state: Mapping[str, Any]) -> Tokenizer:
    """Makes the tokenizer that `build` described.

    Raises:
        ValueError: the state is of no known kind or a part of it is missing.
    """
    kind = str(state.get("kind"))
    content = LEARNED.get(kind, "tokens")
    missing = [key for key in ("lowercase", content) if key is not None and key not in state]
    if kind not in LEARNED or missing:
        raise ValueError(
            f"Not the state of a tokenizer: kind {kind!r} (expected one of {', '.join(LEARNED)}), missing "
            f"{missing}."
        )
    lowercase, clean = state["lowercase"], state.get("clean", ())
    # Tables must not live in the graph of the first caller.
    with tf.init_scope():
        if kind == "subwords":
            return SubwordTokenizer(base64.b64decode(state["model"]), lowercase, clean)
        if kind == "bytes":
            return ByteTokenizer(lowercase, clean)
        return _TABLE_TOKENIZERS[kind](state["tokens"], lowercase, clean)


def needs_tensorflow_text(state: Mapping[str, Any]) -> bool:
    """Whether a graph with the tokenizer of this state has operations of TensorFlow Text."""
    return state["kind"] == "subwords" or "unicode" in state.get("clean", ())


def encode_all(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encodes many texts, chunk by chunk.

    Returns:
        (ids <int32>[all tokens], lengths <int64>[examples]): the ids of one text after those of another.
    """
    encode = tf.function(tokenizer.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    encoded = [encode(chunk) for chunk in _chunks(texts)]
    if not encoded:
        return np.zeros([0], np.int32), np.zeros([0], np.int64)
    ids = np.concatenate([chunk.flat_values.numpy() for chunk in encoded])  # [all tokens]
    return ids, np.concatenate([chunk.row_lengths().numpy() for chunk in encoded])


def words_of_all(tokenizer: SubwordTokenizer, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yields the parts of each text that are split into pieces one by one: its words."""
    for chunk in _chunks(texts):
        for text in map(bytes.decode, tokenizer.spaced(chunk).numpy()):
            yield text.split()


_TABLE_TOKENIZERS: dict[str, type[_TableTokenizer]] = {
    "words": WordTokenizer,
    "characters": CharacterTokenizer,
}


def _without_space_marks(strings: tf.Tensor) -> tf.Tensor:
    """Returns strings <string>[batch] in which nothing is SentencePiece's sign for a space."""
    return tf.strings.regex_replace(strings, _SPACE_MARK, _ESCAPE)


def _chunks(texts: Sequence[str]) -> Iterator[tf.Tensor]:
    for start in range(0, len(texts), TEXTS_PER_CHUNK):
        yield tf.constant(
            [text.encode("utf-8") for text in texts[start : start + TEXTS_PER_CHUNK]], tf.string
        )
