"""Tokenizers: learned once from training texts, then pure TensorFlow from strings to token ids and back.

The same graph operations run while a vocabulary is learned, in `tf.data`, and in an exported SavedModel, so
training and serving cannot differ.
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
_SYMBOL = r"[^\s\p{L}\p{N}\p{M}\p{Co}\p{Cf}]"
_TONES = r"\x{1F3FB}-\x{1F3FF}"
_WORD = (
    # Words and symbols include invisible characters: joiners, soft hyphens, variation selectors.
    rf"\p{{Cf}}*{_LETTERS}(?:['’]{_LETTERS})*"
    rf"|\p{{Cf}}*(?:{_FLAG}|{_SYMBOL})(?:\x{{200D}}{_SYMBOL}|[\p{{M}}\p{{Cf}}{_TONES}])*"
    r"|\p{Cf}+"
)
_SPACE_MARK, _ESCAPE = "\u2581", "\x01"
"""SentencePiece's character for a space, and its replacement in texts, which have no control characters when
they are split into pieces."""


class _TableTokenizer(Tokenizer):
    """A tokenizer with a lookup table of tokens.

    Args:
        tokens: learned tokens in the order of their ids.
        lowercase, clean: see `Tokenizer`.
    """

    separator: str
    unknown: str
    base_tokens: tuple[bytes, ...] = ()
    """Tokens of every vocabulary, from id 4 on; learned tokens follow."""

    def __init__(self, tokens: Sequence[str], lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__(lowercase, clean)
        all_tokens = [*self.base_tokens, *(token.encode("utf-8") for token in tokens)]
        self.vocabulary_size = NUM_SPECIAL + len(all_tokens)
        encoded = tf.constant(all_tokens, tf.string)  # [tokens]
        ids = tf.range(NUM_SPECIAL, self.vocabulary_size, dtype=tf.int32)  # [tokens]
        learned = slice(len(self.base_tokens), None)
        # Tables are attributes of a tf.Module, the only way for a SavedModel to track them.
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
        """Returns the tokens <string>[batch, (time)] of strings <string>[batch], known or not."""
        return self.split(prepare(strings, self.lowercase, self.clean))

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.words(strings)  # [batch, (time)]
        return tokens.with_flat_values(self.ids_by_token.lookup(tokens.flat_values))  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        ids = tf.cast(ids, tf.int32)  # [batch, time]
        return self.join_tokens(ids, self.tokens_by_id.lookup(ids))

    def join_tokens(self, ids: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the texts <string>[batch] of ids and their tokens <string>[batch, time]."""
        kept = tf.ragged.boolean_mask(tokens, is_kept(ids))  # [batch, (time)]
        return tf.strings.reduce_join(kept, axis=-1, separator=self.separator)

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        return self.tokens_by_id.lookup(ids)


class WordTokenizer(_TableTokenizer):
    """Words and numbers, including inner apostrophes (`don't`), and every other symbol as its own token.

    Invisible characters (joiners, soft hyphens, variation selectors) stay with the word or symbol that they
    are in or before, as do the parts of an emoji.

    Examples:
        >>> state = build("words", ["Tea, please!", "tea"], vocabulary_size=100, lowercase=True)
        >>> tokenizer = from_state(state)
        >>> tokenizer.decode(tokenizer.encode(tf.constant(["Tea now!"])).to_tensor()).numpy().tolist()
        [b'tea <unknown> !']
    """

    separator = " "
    unknown = "<unknown>"

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words and symbols <string>[batch, (time)]."""
        spaced = single_spaces(strings)  # [batch]
        return tf.strings.split(tf.strings.regex_replace(spaced, _WORD, r"\0 "))  # [batch, (time)]

    def unknown_words(self, text: str) -> list[str]:
        """Returns the words of a text that are not in the vocabulary, in order."""
        strings = tf.constant([text.encode("utf-8")])  # [1]
        ids, words = self.encode(strings).flat_values, self.words(strings).flat_values
        return [word.decode("utf-8") for word in tf.boolean_mask(words, ids == UNKNOWN).numpy()]


class CharacterTokenizer(_TableTokenizer):
    """Unicode code points, including spaces; unknown characters become the bytes of their UTF-8.

    Byte b has id b + 4, as in `ByteTokenizer`; the ids of characters follow.

    Examples:
        >>> tokenizer = from_state(build("characters", ["abba"], vocabulary_size=100, lowercase=False))
        >>> tokenizer.encode(tf.constant(["bé"])).to_list()
        [[261, 199, 173]]
    """

    separator = ""
    unknown = "\ufffd"
    base_tokens = tuple(bytes([byte]) for byte in range(NUM_BYTES))

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the code points <string>[batch, (time)]."""
        return tf.strings.unicode_split(strings, "UTF-8", errors="replace")  # [batch, (time)]

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of characters, and of the bytes of unknown ones <int32>[batch, (time)]."""
        characters = self.words(strings)  # [batch, (characters)]
        known = self.ids_by_token.lookup(characters.flat_values)  # [characters]
        is_known = known != UNKNOWN
        # Each known character is replaced with a single byte, so that it takes one position.
        replaced = tf.where(is_known, "x", characters.flat_values)
        values = tf.strings.unicode_decode(replaced, "ISO-8859-1")  # [characters, (bytes)]
        rows = values.value_rowids()
        ids = tf.where(tf.gather(is_known, rows), tf.gather(known, rows), values.flat_values + NUM_SPECIAL)
        each = values.with_flat_values(ids)  # [characters, (bytes)]
        return characters.with_flat_values(each).merge_dims(1, 2)  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the joined characters as valid UTF-8 <string>[batch]."""
        return tf.strings.unicode_transcode(super().decode(ids), "UTF-8", "UTF-8", errors="replace")


class ByteTokenizer(Tokenizer):
    """The bytes of UTF-8, with id b + 4 for byte b: there is no learned vocabulary and no unknown character.

    Decoded texts are valid UTF-8: ids that are not bytes and invalid byte sequences become U+FFFD.

    Reference: Xue et al. 2022 (ByT5), https://arxiv.org/abs/2105.13626
    """

    def __init__(self, lowercase: bool, clean: Sequence[str] = ()) -> None:
        super().__init__(lowercase, clean)
        self.vocabulary_size = NUM_SPECIAL + NUM_BYTES

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the bytes <int32>[batch, (time)]."""
        prepared = prepare(strings, self.lowercase, self.clean)  # [batch]
        # In Latin-1 the code point of each byte is its value.
        values = tf.strings.unicode_decode(prepared, "ISO-8859-1")  # [batch, (time)]
        return values.with_flat_values(values.flat_values + NUM_SPECIAL)  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the texts <string>[batch] of the joined bytes."""
        kept = kept_ids(ids)  # [batch, (time)]
        tokens = kept.with_flat_values(self.token(kept.flat_values))  # [batch, (time)]
        joined = tf.strings.reduce_join(tokens, axis=-1)  # [batch]
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")  # [batch]

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the byte of each id, <string> of the shape of `ids`; U+FFFD for ids that are not bytes."""
        tokens = tf.constant(["\ufffd".encode()] * NUM_SPECIAL + [bytes([byte]) for byte in range(NUM_BYTES)])
        return tf.gather(tokens, tf.where((ids >= 0) & (ids < self.vocabulary_size), ids, UNKNOWN))


class SubwordTokenizer(Tokenizer):
    """Subwords from a SentencePiece model.

    White space and control characters become single spaces. Nothing else is normalized and unknown characters
    become the bytes of their UTF-8, so decoding restores the text exactly. Loading a SavedModel with this
    tokenizer requires `import tensorflow_text`.

    Args:
        model: serialized SentencePiece model.
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
        return self.model.tokenize(self.normalize_spaces(strings))  # [batch, (time)]

    def normalize_spaces(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns strings <string>[batch] in the form that is split into pieces, with single spaces."""
        return _escape_space_marks(single_spaces(prepare(strings, self.lowercase, self.clean)))  # [batch]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the texts <string>[batch] of the joined pieces."""
        pieces = kept_ids(ids)  # [batch, (time)]
        known = tf.where(pieces.flat_values < self.vocabulary_size, pieces.flat_values, UNKNOWN)
        texts = self.model.detokenize(pieces.with_flat_values(known))  # [batch]
        return tf.strings.regex_replace(texts, _ESCAPE, _SPACE_MARK)

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the pieces; those at the start of a word begin with U+2581."""
        return self.model.id_to_string(ids)


def build(
    kind: str, texts: Sequence[str], vocabulary_size: int, lowercase: bool, clean: Sequence[str] = ()
) -> dict[str, Any]:
    """Learns a vocabulary. The order of the texts does not matter.

    Args:
        kind: "words" or "characters" (the most frequent ones; ties by code point), "bytes", "subwords" or
            "bpe".
        texts: training texts; a list or <object>[examples] of str.
        vocabulary_size: largest number of token ids, above 4, including the 4 special ones but not the 256
            bytes that all kinds except words add. Subwords may be fewer if the texts do not have that many.
        lowercase, clean: see `Tokenizer`.

    Returns:
        State for `from_state`, as JSON values: `kind`, `lowercase`, `clean` if not empty, and `tokens` (a
        list), `model` (base64) or, for bytes, neither.

    Raises:
        ValueError: `kind` is unknown or `vocabulary_size` too small.
        UserError: there is nothing to learn from, or `vocabulary_size` is too small for subwords.

    Examples:
        >>> build("words", ["good tea", "good cake"], vocabulary_size=6, lowercase=True)["tokens"]
        ['good', 'cake']
    """
    kinds = get_args(Tokenization)
    if kind not in kinds:
        raise ValueError(f"Unknown kind of tokenizer {kind!r}; expected one of {', '.join(kinds)}.")
    if vocabulary_size <= NUM_SPECIAL:
        raise ValueError(
            f"vocabulary_size must be larger than the {NUM_SPECIAL} special tokens; got {vocabulary_size}."
        )
    prepared = (prepare(chunk, lowercase, clean) for chunk in _chunks(texts))  # <string>[chunk] each
    common: dict[str, Any] = {"lowercase": lowercase, **({"clean": list(clean)} if clean else {})}
    if kind in SUBWORD_MODELS:
        model = sentencepiece_models.train(
            (_escape_space_marks(single_spaces(chunk)) for chunk in prepared),
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
    return UserError(f"The training texts have no tokens ({num_texts} texts, kind {kind!r}); check the data.")


def from_state(state: Mapping[str, Any]) -> Tokenizer:
    """Creates a tokenizer from the state returned by `build`.

    Raises:
        ValueError: the kind of the state is unknown or a key is missing.
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
    # Tables must not be created in the graph of the first caller.
    with tf.init_scope():
        if kind == "subwords":
            return SubwordTokenizer(base64.b64decode(state["model"]), lowercase, clean)
        if kind == "bytes":
            return ByteTokenizer(lowercase, clean)
        return _TABLE_TOKENIZERS[kind](state["tokens"], lowercase, clean)


def needs_tensorflow_text(state: Mapping[str, Any]) -> bool:
    """Whether the graph of the tokenizer uses operations of TensorFlow Text."""
    return state["kind"] == "subwords" or "unicode" in state.get("clean", ())


def encode_all(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encodes many texts in chunks.

    Returns:
        (ids <int32>[all tokens], lengths <int64>[examples]): the concatenated ids of all texts.
    """
    encode = tf.function(tokenizer.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    encoded = [encode(chunk) for chunk in _chunks(texts)]
    if not encoded:
        return np.zeros([0], np.int32), np.zeros([0], np.int64)
    ids = np.concatenate([chunk.flat_values.numpy() for chunk in encoded])  # [all tokens]
    return ids, np.concatenate([chunk.row_lengths().numpy() for chunk in encoded])


def split_words(tokenizer: SubwordTokenizer, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yields the words of each text, which are split into pieces separately."""
    for chunk in _chunks(texts):
        for text in map(bytes.decode, tokenizer.normalize_spaces(chunk).numpy()):
            yield text.split()


_TABLE_TOKENIZERS: dict[str, type[_TableTokenizer]] = {
    "words": WordTokenizer,
    "characters": CharacterTokenizer,
}


def _escape_space_marks(strings: tf.Tensor) -> tf.Tensor:
    """Returns strings <string>[batch] without SentencePiece's character for a space."""
    return tf.strings.regex_replace(strings, _SPACE_MARK, _ESCAPE)


def _chunks(texts: Sequence[str]) -> Iterator[tf.Tensor]:
    for start in range(0, len(texts), TEXTS_PER_CHUNK):
        yield tf.constant(
            [text.encode("utf-8") for text in texts[start : start + TEXTS_PER_CHUNK]], tf.string
        )
