"""Tokenizers: learned once from training texts, then pure TensorFlow from strings to token ids and back.

The same graph operations run while a vocabulary is learned, in `tf.data`, and inside an exported SavedModel,
so that training and serving cannot disagree.
"""

from __future__ import annotations

import base64
import collections
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.info import END, PADDING, START, UNKNOWN

NUM_SPECIAL = 4

MODEL_TYPES = {"subwords": "unigram", "bpe": "bpe"}
"""Names of what SentencePiece learns; the model itself says what it is."""
KINDS = ("words", "characters", *MODEL_TYPES)
STATES = ("words", "characters", "subwords")
TEXTS_PER_CHUNK = 1024
MAX_SENTENCEPIECE_BYTES = 8 << 20

_SPACES = r"[\p{Z}\p{C}]+"
_WORD = r"[\p{L}\p{N}\p{M}]+(?:['’][\p{L}\p{N}\p{M}]+)*|[^\s\p{L}\p{N}\p{M}]"


class Tokenizer(tf.Module):
    """Strings to token ids and back. Make one with `from_state`.

    Ids 0 to 3 are PADDING, UNKNOWN, START and END; neither START nor END is added or expected by `encode`.
    Bytes that are not UTF-8 count as U+FFFD, so that no input makes a served model fail.

    Attributes:
        lowercase: whether texts are lowercased first.
        vocabulary_size: number of token ids, the 4 special ones included.
    """

    vocabulary_size: int

    def __init__(self, lowercase: bool) -> None:
        super().__init__()
        self.lowercase = lowercase

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the token ids <int32>[batch, (time)] of strings <string>[batch]."""
        raise NotImplementedError

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns texts <string>[batch] of ids <int32>[batch, time]; a text ends before its first END."""
        raise NotImplementedError

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns what each id stands for, <string> of the shape of `ids`."""
        raise NotImplementedError

    def pieces(self, ids: tf.Tensor) -> list[list[str]]:
        """Returns what each id of ids <int32>[batch, time] stands for, for people; without padding."""
        ids = tf.cast(ids, tf.int32)
        names = {UNKNOWN: "(unknown)", START: "(start)", END: "(end)"}
        return [
            [
                names.get(number) or token.decode("utf-8", "replace")
                for number, token in zip(row, tokens, strict=True)
                if number != PADDING
            ]
            for row, tokens in zip(ids.numpy().tolist(), self.token(ids).numpy(), strict=True)
        ]


class _TableTokenizer(Tokenizer):
    """A tokenizer whose ids come from a table of tokens.

    Args:
        tokens: tokens in the order of their ids, from id 4 on.
        lowercase: whether texts are lowercased first.
    """

    separator: str
    unknown: str

    def __init__(self, tokens: Sequence[str], lowercase: bool) -> None:
        super().__init__(lowercase)
        self.vocabulary_size = NUM_SPECIAL + len(tokens)
        encoded = tf.constant([token.encode("utf-8") for token in tokens], tf.string)  # [tokens]
        ids = tf.range(NUM_SPECIAL, self.vocabulary_size, dtype=tf.int32)  # [tokens]
        # Tables are attributes of a module: a SavedModel keeps only resources that it can reach this way.
        self.ids_by_token = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(encoded, ids), UNKNOWN
        )
        self.tokens_by_id = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, encoded), self.unknown
        )

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens <string>[batch, (time)] of clean strings <string>[batch]."""
        raise NotImplementedError

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.split(_clean(strings, self.lowercase))  # [batch, (time)]
        return tokens.with_flat_values(self.ids_by_token.lookup(tokens.flat_values))  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        tokens = _written(ids)  # [batch, (time)]
        tokens = tokens.with_flat_values(self.tokens_by_id.lookup(tokens.flat_values))  # [batch, (time)]
        return tf.strings.reduce_join(tokens, axis=-1, separator=self.separator)  # [batch]

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        return self.tokens_by_id.lookup(ids)


class WordTokenizer(_TableTokenizer):
    """Words and numbers with inner apostrophes (`don't`), and each other visible sign by itself."""

    separator = " "
    unknown = "<unknown>"

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words and signs <string>[batch, (time)]."""
        spaced = _single_spaces(strings)  # [batch]
        return tf.strings.split(tf.strings.regex_replace(spaced, _WORD, r"\0 "))  # [batch, (time)]


class CharacterTokenizer(_TableTokenizer):
    """Unicode code points, spaces included."""

    separator = ""
    unknown = "\ufffd"

    @staticmethod
    def split(strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the code points <string>[batch, (time)]."""
        return tf.strings.unicode_split(strings, "UTF-8", errors="replace")  # [batch, (time)]


class SubwordTokenizer(Tokenizer):
    """Pieces of words from a SentencePiece model.

    White space and control characters become single spaces; nothing else is normalised, so that decoding
    gives the text back exactly. A SavedModel with it needs `import tensorflow_text` where it is loaded.

    Args:
        model: serialised SentencePiece model.
        lowercase: whether texts are lowercased first.

    Reference: unigram: Kudo 2018, https://arxiv.org/abs/1804.10959; bpe: Sennrich et al. 2016,
        https://arxiv.org/abs/1508.07909
    """

    def __init__(self, model: bytes, lowercase: bool) -> None:
        super().__init__(lowercase)
        import tensorflow_text

        self.model = tensorflow_text.SentencepieceTokenizer(model, out_type=tf.int32)
        self.vocabulary_size = int(self.model.vocab_size())

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the pieces <int32>[batch, (time)]."""
        return self.model.tokenize(_single_spaces(_clean(strings, self.lowercase)))  # [batch, (time)]

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the pieces joined to texts <string>[batch]."""
        pieces = _written(ids)  # [batch, (time)]
        known = tf.where(pieces.flat_values < self.vocabulary_size, pieces.flat_values, UNKNOWN)
        return self.model.detokenize(pieces.with_flat_values(known))  # [batch]

    def token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the pieces; one that begins a word begins with U+2581."""
        return self.model.id_to_string(ids)


def build(kind: str, texts: Sequence[str], vocabulary_size: int, lowercase: bool) -> dict[str, Any]:
    """Learns a vocabulary. The order of the texts does not matter.

    Args:
        kind: "words" or "characters" (the most frequent ones, ties by code point), "subwords" or "bpe".
        texts: training texts; a list or <object>[examples] of str.
        vocabulary_size: most token ids, the 4 special ones included. Subwords get fewer where the texts do
            not give that many.
        lowercase: whether texts are lowercased first.

    Returns:
        What `from_state` needs, as JSON: `kind`, `lowercase`, and `tokens` (a list) or `model` (base64).

    Raises:
        ValueError: unknown kind, or no id left beside the special ones.
        UserError: there is nothing to learn from, or `vocabulary_size` is too small for subwords.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of tokenizer {kind!r}; expected one of {', '.join(KINDS)}.")
    if vocabulary_size <= NUM_SPECIAL:
        raise ValueError(
            f"vocabulary_size must be more than the {NUM_SPECIAL} special tokens; got {vocabulary_size}."
        )
    if kind in MODEL_TYPES:
        model = _train_sentencepiece(texts, kind, vocabulary_size, lowercase)
        return {"kind": "subwords", "lowercase": lowercase, "model": base64.b64encode(model).decode("ascii")}
    counts: collections.Counter[bytes] = collections.Counter()
    for chunk in _chunks(texts):
        tokens = _TABLE_TOKENIZERS[kind].split(_clean(chunk, lowercase))  # [chunk, (time)]
        counts.update(tokens.flat_values.numpy().tolist())
    if not counts:
        raise UserError(
            f"The training texts hold not one token ({len(texts)} texts, kind {kind!r}); check the data."
        )
    ordered = sorted(counts, key=lambda token: (-counts[token], token))[: vocabulary_size - NUM_SPECIAL]
    return {"kind": kind, "lowercase": lowercase, "tokens": [token.decode("utf-8") for token in ordered]}


def from_state(state: Mapping[str, Any]) -> Tokenizer:
    """Makes the tokenizer that `build` described.

    Raises:
        ValueError: the state is of no known kind or a part of it is missing.
    """
    kind = state.get("kind")
    missing = [key for key in ("lowercase", "model" if kind == "subwords" else "tokens") if key not in state]
    if kind not in STATES or missing:
        raise ValueError(
            f"Not the state of a tokenizer: kind {kind!r} (expected one of {', '.join(STATES)}), missing "
            f"{missing}."
        )
    # Tables must not live in the graph of the first caller.
    with tf.init_scope():
        if kind == "subwords":
            return SubwordTokenizer(base64.b64decode(state["model"]), state["lowercase"])
        return _TABLE_TOKENIZERS[kind](state["tokens"], state["lowercase"])


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


_TABLE_TOKENIZERS: dict[str, type[_TableTokenizer]] = {
    "words": WordTokenizer,
    "characters": CharacterTokenizer,
}


def _written(ids: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids <int32>[batch, (time)] before the first END, without PADDING and START."""
    ids = tf.cast(ids, tf.int32)  # [batch, time]
    after_end = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0  # [batch, time]
    return tf.ragged.boolean_mask(ids, ~after_end & (ids != PADDING) & (ids != START))  # [batch, (time)]


def _clean(strings: tf.Tensor, lowercase: bool) -> tf.Tensor:
    """Returns strings <string>[batch] as valid UTF-8, in lower case if asked for."""
    strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")  # [batch]
    return tf.strings.lower(strings, encoding="utf-8") if lowercase else strings  # [batch]


def _single_spaces(strings: tf.Tensor) -> tf.Tensor:
    """Returns strings <string>[batch] with each run of spaces and control characters as one space."""
    return tf.strings.regex_replace(strings, _SPACES, " ")


def _chunks(texts: Sequence[str]) -> Iterator[tf.Tensor]:
    for start in range(0, len(texts), TEXTS_PER_CHUNK):
        yield tf.constant(
            [text.encode("utf-8") for text in texts[start : start + TEXTS_PER_CHUNK]], tf.string
        )


def _train_sentencepiece(texts: Sequence[str], kind: str, vocabulary_size: int, lowercase: bool) -> bytes:
    """Returns a serialised model.

    Learning takes memory and time in proportion to the texts, so that it uses about 8 MiB of texts at most,
    spread evenly over the sorted different ones.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    unique: set[bytes] = set()
    for chunk in _chunks(texts):
        unique.update(_single_spaces(_clean(chunk, lowercase)).numpy().tolist())
    sentences = sorted(text.strip().decode("utf-8") for text in unique if text.strip())
    if not sentences:
        raise UserError(
            f"The training texts hold not one token ({len(texts)} texts, kind {kind!r}); check the data."
        )
    stride = -(-sum(len(text) for text in unique) // MAX_SENTENCEPIECE_BYTES)
    written = io.BytesIO()
    # A model without any rule makes TensorFlow Text print a line whenever it is loaded. No-break spaces are
    # gone already, so that this rule changes nothing.
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("A0\t20\n")
        rules.flush()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences[::stride]),
                model_writer=written,
                model_type=MODEL_TYPES[kind],
                vocab_size=vocabulary_size,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_tsv=rules.name,
                max_sentence_length=1 << 30,
                num_threads=1,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=START,
                eos_id=END,
                minloglevel=3,
            )
        except RuntimeError as error:
            num_characters = len(set("".join(sentences[::stride]).replace(" ", "▁")))
            raise UserError(
                f"data.vocabulary_size: {vocabulary_size} is too small for subwords: the training texts hold "
                f"{num_characters} different characters; ask for {num_characters + NUM_SPECIAL} or more "
                f"({' '.join(str(error).split())})."
            ) from None
    messages: Any = sentencepiece_model_pb2  # its classes come into being on import
    model = messages.ModelProto.FromString(written.getvalue())
    model.normalizer_spec.ClearField("normalization_rule_tsv")  # the name of the temporary file
    return model.SerializeToString(deterministic=True)
