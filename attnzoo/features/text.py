"""Texts as token ids."""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config.sections import DataOptions
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.feature import Column, Feature, RawReader, Redraw
from attnzoo.records.rows import require_string, require_text
from attnzoo.records.text_files import object_array
from attnzoo.special_tokens import END, NUM_BYTES, NUM_SPECIAL, PADDING
from attnzoo.text.kinds import (
    LEARNED,
    MAX_CLEANINGS,
    MAX_LENGTH,
    MAX_VOCABULARY,
    SUBWORD_MODELS,
    Cleaning,
    Tokenization,
)
from attnzoo.text.ragged import Ragged
from attnzoo.text.scripts import have_no_spaces

with epy.lazy_imports():
    import tensorflow as tf

    from attnzoo.text import subword_sampling, tokenizers

CHECKED_TEXTS = 1000
QUANTILES = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}


class TextOptions(DataOptions):
    """Options of data with text in it."""

    tokenizer: Tokenization | Literal["auto"] = Field(
        "auto",
        description="What a token is. Pieces of words are learned from the training texts by SentencePiece: "
        "subwords by its unigram model, bpe by byte-pair merges. bytes are those of UTF-8, always 256. auto: "
        "subwords for translations, as words cannot be written back as they were; words for other tasks.",
    )
    clean: Annotated[list[Cleaning], Field(max_length=MAX_CLEANINGS)] = Field(
        [],
        description="What is done to texts first, in this order: html puts a space for each tag and a "
        "character for each common entity; whitespace puts one space for each run of white space; unicode "
        "is the normal form NFKC.",
    )
    lowercase: bool | Literal["auto"] = Field(
        "auto",
        description="Lowercase texts before tokenization. auto: no for translations, whose output would "
        "have no capitals either; yes for other tasks.",
    )
    vocabulary_size: Annotated[int, Field(ge=8, le=MAX_VOCABULARY)] = Field(
        10_000,
        description="Maximum size of the vocabulary in token ids, the 4 special ones included. All "
        "tokenizers but words add the 256 bytes of UTF-8, for characters that train does not "
        "have.",
    )
    subword_sampling: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0,
        description="Above 0 the words of training texts are split into other pieces in every epoch (subword "
        "regularization). bpe: how likely a merge is left out, 0.05 to 0.1 are common; subwords: exponent of "
        "the pieces' probabilities, 0.1 to 0.5.",
    )
    max_length: Annotated[int, Field(ge=2, le=MAX_LENGTH)] = Field(
        256, description="Longest text, in tokens; longer ones are truncated."
    )
    num_buckets: Annotated[int, Field(ge=1, le=16)] = Field(
        3,
        description="Number of fixed lengths (buckets) that batches are padded to; each costs one "
        "compilation.",
    )


class TextPairOptions(TextOptions):
    """Options of data with pairs of texts."""

    shared_vocabulary: bool = Field(False, description="One vocabulary for source and target together.")


class Text(Feature):
    """Texts as token ids.

    Attributes:
        ends: whether END closes each text.
        tokenizer: state from which `text.tokenizers.from_state` rebuilds the tokenizer; empty at first.
        vocabulary_size: number of token ids, special tokens included.
    """

    is_content: ClassVar[bool] = True
    has_lengths: ClassVar[bool] = True
    starts_from_others: ClassVar[bool] = True

    kind: Literal["text"] = "text"
    ends: bool = False
    tokenizer: dict[str, Any] = Field(default_factory=dict)
    vocabulary_size: int = 0

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the text of a record."""
        require_string(place, name, value)
        require_text(place, "text", value)
        return value

    def column(self, values: Sequence[str]) -> Column:
        """Returns <object>[examples] of str."""
        return object_array(list(values))

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        """Yields pieces that are drawn again where tokens are none of words."""
        if (
            isinstance(options, TextOptions)
            and options.subword_sampling
            and (kind := self._tokenization(options)) not in SUBWORD_MODELS
        ):
            kinds = " or ".join(SUBWORD_MODELS)
            yield "subword_sampling", f"goes with data.tokenizer {kinds}, not {kind}; leave it out"

    def _tokenization(self, options: TextOptions) -> Tokenization:
        if options.tokenizer == "auto":
            return "subwords" if self.ends else "words"
        return options.tokenizer

    def _lowercases(self, options: TextOptions) -> bool:
        return not self.ends if options.lowercase == "auto" else options.lowercase

    def learning_values(self, options: DataOptions) -> dict[str, Any]:
        """Returns what a vocabulary depends on, `auto` as what it stands for."""
        if not isinstance(options, TextOptions):
            return {}
        values = options.model_dump(include={"clean", "vocabulary_size", "shared_vocabulary"})
        kinds = {"tokenizer": self._tokenization(options), "lowercase": self._lowercases(options)}
        return {**kinds, **values}

    def learned_with(
        self, name: str, features: Mapping[str, Feature], options: DataOptions
    ) -> tuple[str, ...]:
        """Returns all columns of texts where they share a vocabulary."""
        if isinstance(options, TextPairOptions) and options.shared_vocabulary:
            return tuple(other for other, feature in features.items() if isinstance(feature, Text))
        return (name,)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Text:
        """Learns the vocabulary, or takes that of another run."""
        if not isinstance(options, TextOptions):
            raise ValueError(
                f"Data set '{options.name}' has no text options; expected a subclass of TextOptions."
            )
        if isinstance(initial, Text):
            state = dict(initial.tokenizer)
        else:
            texts = [text for column in columns for text in column]
            kind, lowercases = self._tokenization(options), self._lowercases(options)
            if kind == "words" and have_no_spaces(texts[:CHECKED_TEXTS]):
                warnings.warn(
                    f"{origin}: these texts have no spaces between words, where words are split, so that a "
                    "token is a whole sentence; set data.tokenizer: characters or subwords.",
                    DataWarning,
                    stacklevel=2,
                )
            state = tokenizers.build(kind, texts, options.vocabulary_size, lowercases, options.clean)
        size = tokenizers.from_state(state).vocabulary_size
        return self.model_copy(update={"tokenizer": state, "vocabulary_size": size})

    def make_tokenizer(self) -> tokenizers.Tokenizer:
        """Returns the tokenizer that was learned."""
        return tokenizers.from_state(self.tokenizer)

    def encode(self, column: Column) -> Ragged:
        """Returns the token ids of each text, with END where texts end."""
        values, lengths = tokenizers.encode_all(self.make_tokenizer(), list(column))
        return self._closed(Ragged.of(values, lengths))

    def _closed(self, ids: Ragged) -> Ragged:
        if not self.ends:
            return ids
        return Ragged.of(np.insert(ids.values, ids.offsets[1:], END), ids.lengths + 1)

    def lengths(self, encoded: Ragged) -> np.ndarray:
        """Returns the tokens of each text, END included."""
        return encoded.lengths

    def redraw(self, column: Column, options: DataOptions) -> Redraw | None:
        """Returns what splits the texts into other pieces of words, where the options say so."""
        if not isinstance(options, TextOptions) or not options.subword_sampling:
            return None
        if self.tokenizer["kind"] != "subwords":
            raise UserError(
                "data.subword_sampling: the run of train.init_from has other tokens than pieces of words; "
                "leave it out."
            )
        sampling = subword_sampling.learn(self.tokenizer, list(column), options.subword_sampling)
        return lambda generator, longest: self._closed(sampling.draw(generator, longest - int(self.ends)))

    @property
    def host_spec(self) -> tf.TensorSpec:
        """Padded token ids."""
        return tf.TensorSpec([None, None], tf.int32)

    def host_batch(self, encoded: Ragged, indices: np.ndarray, length: int | None) -> np.ndarray:
        """Returns token ids, truncated or padded, <int32>[batch, length]."""
        assert length is not None
        return encoded.padded(indices, length)

    def graph_batch(self, encoded: Ragged) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the identity: NumPy has done all."""
        return lambda ids: ids

    def raw(self, column: Column) -> list[bytes]:
        """Returns texts in UTF-8."""
        return [text.encode("utf-8") for text in column]

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns what makes token ids <int32>[batch, time] of texts; longer ones are truncated."""
        tokenizer = self.make_tokenizer()
        return RawReader([tokenizer], lambda strings: self._padded_ids(tokenizer, strings, length))

    def _padded_ids(
        self, tokenizer: tokenizers.Tokenizer, strings: tf.Tensor, length: int | None
    ) -> tf.Tensor:
        assert length is not None
        ids = tokenizer.encode(strings)[:, : length - int(self.ends)]
        if not self.ends:
            rows = ids.to_tensor(PADDING)
            return tf.pad(rows, [[0, 0], [0, tf.maximum(0, 1 - tf.shape(rows)[1])]])
        rows = tf.pad(ids.to_tensor(PADDING), [[0, 0], [0, 1]])
        return tf.where(
            tf.range(tf.shape(rows)[1]) == tf.cast(ids.row_lengths(), tf.int32)[:, None], END, rows
        )

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the tokenizer needs it."""
        return tokenizers.needs_tensorflow_text(self.tokenizer)

    def describe(self, name: str, column: Column, encoded: Ragged) -> dict[str, Any]:
        """Returns quantiles of the lengths."""
        lengths = {
            word: int(np.quantile(encoded.lengths, share, method="nearest"))
            for word, share in QUANTILES.items()
        }
        return {"tokens": {name: lengths}}

    def phrase(self, name: str) -> str:
        """Returns the size of the vocabulary."""
        return f"vocabulary of {self.vocabulary_size:,} {name} tokens"

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns the texts."""
        return [list(column) for column in columns]

    def is_like(self, declared: Feature) -> bool:
        """Whether it is a text that ends, or does not, as the task wants it."""
        return isinstance(declared, Text) and self.ends == declared.ends

    def problems(self, name: str) -> Iterator[str]:
        """Yields what in the tokenizer's state `tokenizers.build` cannot have written."""
        state, size = self.tokenizer, self.vocabulary_size
        kind = str(state.get("kind"))
        largest = MAX_VOCABULARY + (NUM_BYTES if kind != "words" else 0)
        if kind not in LEARNED or set(state) - {"clean"} != {"kind", "lowercase", LEARNED[kind]} - {None}:
            yield f"{name}.tokenizer: expected kind, lowercase, and tokens or model"
        elif not isinstance(state["lowercase"], bool):
            yield f"{name}.tokenizer.lowercase: expected true or false"
        elif not _is_cleaning(state.get("clean", [])):
            known = ", ".join(get_args(Cleaning))
            yield f"{name}.tokenizer.clean: expected at most {MAX_CLEANINGS} of {known}"
        elif not NUM_SPECIAL < size <= largest:
            yield f"{name}.vocabulary_size: {size}, expected {NUM_SPECIAL + 1} to {largest}"
        elif kind == "bytes":
            if size != NUM_SPECIAL + NUM_BYTES:
                yield f"{name}.vocabulary_size: {size}, expected {NUM_SPECIAL + NUM_BYTES} for bytes"
        elif kind == "subwords":
            if _pieces(state["model"]) != size:
                yield f"{name}.tokenizer.model: expected a SentencePiece model of {size} pieces in base64"
        else:
            tokens = state["tokens"]
            if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
                yield f"{name}.tokenizer.tokens: expected a list of texts"
                return
            others = NUM_SPECIAL + (NUM_BYTES if kind == "characters" else 0)
            if len(set(tokens)) != len(tokens) or others + len(tokens) != size:
                yield f"{name}.tokenizer.tokens: expected {size - others} different ones"


def _is_cleaning(steps: Any) -> bool:
    return (
        isinstance(steps, list)
        and len(steps) <= MAX_CLEANINGS
        and all(isinstance(step, str) and step in get_args(Cleaning) for step in steps)
    )


def _pieces(model: Any) -> int | None:
    """Returns the number of pieces of a SentencePiece model in base64, None if it is none."""
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=base64.b64decode(model, validate=True)).vocab_size()
    except (binascii.Error, ValueError, TypeError, RuntimeError):
        return None
