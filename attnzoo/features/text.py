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

from attnzoo.config.base import EffectIf, Problem
from attnzoo.config.sections import DataOptions
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.feature import Column, Feature, RawReader, Resampler
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
    """Options of data with text.

    Attributes:
        min_characters: lower bound of the number of distinct characters in train, if it is known.
    """

    min_characters: ClassVar[int] = 0

    tokenizer: Tokenization | Literal["auto"] = Field(
        "auto",
        description="Kind of token. subwords and bpe learn pieces of words from the training texts with "
        "SentencePiece, by its unigram model or by byte-pair merges. bytes are the 256 bytes of UTF-8. auto: "
        "subwords for translation, as words cannot be joined to the original text; words for other tasks.",
    )
    clean: Annotated[list[Cleaning], Field(max_length=MAX_CLEANINGS)] = Field(
        [],
        description="Cleaning steps before tokenization, in this order. html replaces each tag with a space "
        "and common entities with their characters; whitespace collapses runs of white space into one space; "
        "unicode normalizes to NFKC.",
    )
    lowercase: bool | Literal["auto"] = Field(
        "auto",
        description="Whether texts are lowercased before tokenization. auto: false for translation, whose "
        "output would be lowercase as well; true for other tasks.",
    )
    vocabulary_size: Annotated[
        int,
        Field(ge=8, le=MAX_VOCABULARY),
        EffectIf("tokenizer is not bytes", lambda own: own.tokenizer != "bytes"),
    ] = Field(
        10_000,
        description="Largest number of token ids, including the 4 special ones. All tokenizers except words "
        "add the 256 bytes of UTF-8, for characters that train does not have.",
    )
    subword_sampling: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0,
        description="Subword regularization: above 0, words of training texts are split differently in every "
        "epoch. bpe: probability of dropping a merge, usually 0.05 to 0.1. subwords: exponent of the piece "
        "probabilities, usually 0.1 to 0.5; smaller is more random. 0 = off.",
    )
    max_length: Annotated[int, Field(ge=2, le=MAX_LENGTH)] = Field(
        256, description="Longest text, in tokens; longer texts are truncated."
    )
    num_buckets: Annotated[int, Field(ge=1, le=16)] = Field(
        3,
        description="Number of fixed lengths (buckets) that batches are padded to; each costs one "
        "compilation.",
    )


class TextPairOptions(TextOptions):
    """Options of data with pairs of texts."""

    shared_vocabulary: bool = Field(False, description="Whether source and target share one vocabulary.")
    drop_longer: bool = Field(
        False,
        description="Whether training pairs with a text of more than max_length tokens are left out: what is "
        "left of truncated texts need not be translations of each other. Evaluations truncate them.",
    )
    max_length_ratio: Annotated[float, Field(ge=1.0)] | None = Field(
        None,
        description="Training pairs of which one text has more than so many times the tokens of the other "
        "are left out: they are seldom translations. Default: no limit.",
    )

    def unused(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields options of pairs for a task with one text."""
        yield from super().unused(features)
        if sum(isinstance(feature, Text) for feature in features.values()) < 2:
            own = TextPairOptions.model_fields.keys() - TextOptions.model_fields.keys()
            yield from (((key,), "there is no pair of texts") for key in sorted(own))


class Text(Feature):
    """Texts as token ids: a column <object>[examples] of str.

    Attributes:
        ends: whether texts end with the token END, as in translation.
        tokenizer: state of the tokenizer for `text.tokenizers.from_state`; empty before learning.
        vocabulary_size: number of token ids, including the special tokens.

    Examples:
        >>> options = TextOptions(name="reviews", tokenizer="words")
        >>> column = np.array(["Good cake", "good tea"], object)
        >>> text = Text().learn([column], options, None, "reviews.csv")
        >>> text.vocabulary_size, text.encode(column).lengths.tolist()
        (7, [2, 2])
    """

    is_content: ClassVar[bool] = True
    has_lengths: ClassVar[bool] = True
    is_transferable: ClassVar[bool] = True
    Options: ClassVar[type[DataOptions]] = TextOptions

    kind: Literal["text"] = "text"
    ends: bool = False
    tokenizer: dict[str, Any] = Field(default_factory=dict)
    vocabulary_size: int = 0

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the text of a record."""
        require_string(location, name, value)
        require_text(location, "text", value)
        return value

    def column(self, values: Sequence[str]) -> Column:
        """Returns <object>[examples] of str."""
        return object_array(list(values))

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        """Yields subword sampling without subwords, and vocabularies too small for all characters."""
        if not isinstance(options, TextOptions):
            return
        kind, least = self._tokenization(options), options.min_characters + NUM_SPECIAL
        if options.subword_sampling and kind not in SUBWORD_MODELS:
            kinds = " or ".join(SUBWORD_MODELS)
            yield "subword_sampling", f"only works with data.tokenizer {kinds}, not {kind}; remove it"
        if kind in SUBWORD_MODELS and options.vocabulary_size < least:
            what = f"too small for {kind}, which include all characters of train; expected at least {least}"
            yield "vocabulary_size", f"{what}, received {options.vocabulary_size}"

    def _tokenization(self, options: TextOptions) -> Tokenization:
        if options.tokenizer == "auto":
            return "subwords" if self.ends else "words"
        return options.tokenizer

    def _is_lowercase(self, options: TextOptions) -> bool:
        return not self.ends if options.lowercase == "auto" else options.lowercase

    def learning_options(self, options: DataOptions) -> dict[str, Any]:
        """Returns the options that a vocabulary depends on, with `auto` resolved."""
        if not isinstance(options, TextOptions):
            return {}
        values = options.model_dump(include={"clean", "vocabulary_size", "shared_vocabulary"})
        resolved = {"tokenizer": self._tokenization(options), "lowercase": self._is_lowercase(options)}
        return {**resolved, **values}

    def learned_with(
        self, name: str, features: Mapping[str, Feature], options: DataOptions
    ) -> tuple[str, ...]:
        """Returns all text columns if they share a vocabulary, else only this one."""
        if isinstance(options, TextPairOptions) and options.shared_vocabulary:
            return tuple(other for other, feature in features.items() if isinstance(feature, Text))
        return (name,)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Text:
        """Learns the vocabulary, or takes the one of the initial run."""
        if not isinstance(options, TextOptions):
            raise ValueError(
                f"Data set '{options.name}' has no text options; expected a subclass of TextOptions."
            )
        if isinstance(initial, Text):
            state = dict(initial.tokenizer)
        else:
            texts = [text for column in columns for text in column]
            kind, lowercase = self._tokenization(options), self._is_lowercase(options)
            if kind == "words" and have_no_spaces(texts[:CHECKED_TEXTS]):
                warnings.warn(
                    f"{origin}: these texts have no spaces between words, so each token would be a whole "
                    "sentence; set data.tokenizer: characters or subwords.",
                    DataWarning,
                    stacklevel=2,
                )
            state = tokenizers.build(kind, texts, options.vocabulary_size, lowercase, options.clean)
        size = tokenizers.from_state(state).vocabulary_size
        return self.model_copy(update={"tokenizer": state, "vocabulary_size": size})

    def make_tokenizer(self) -> tokenizers.Tokenizer:
        """Returns the learned tokenizer."""
        return tokenizers.from_state(self.tokenizer)

    def encode(self, column: Column) -> Ragged:
        """Returns the token ids of each text, followed by END if `ends` is true."""
        values, lengths = tokenizers.encode_all(self.make_tokenizer(), list(column))
        return self._append_end(Ragged.from_lengths(values, lengths))

    def _append_end(self, ids: Ragged) -> Ragged:
        if not self.ends:
            return ids
        return Ragged.from_lengths(np.insert(ids.values, ids.offsets[1:], END), ids.lengths + 1)

    def lengths(self, encoded: Ragged) -> np.ndarray:
        """Returns the number of tokens of each text, including END."""
        return encoded.lengths

    def resampler(self, column: Column, options: DataOptions) -> Resampler | None:
        """Returns a function that splits the texts into other subwords, if the options ask for it."""
        if not isinstance(options, TextOptions) or not options.subword_sampling:
            return None
        if self.tokenizer["kind"] != "subwords":
            raise UserError(
                "data.subword_sampling: the run of train.init_from does not use subwords; remove this option."
            )
        sampling = subword_sampling.learn(self.tokenizer, list(column), options.subword_sampling)
        return lambda generator, longest: self._append_end(sampling.draw(generator, longest - int(self.ends)))

    @property
    def host_spec(self) -> tf.TensorSpec:
        """Specification of padded token ids."""
        return tf.TensorSpec([None, None], tf.int32)

    def host_batch(self, encoded: Ragged, indices: np.ndarray, length: int | None) -> np.ndarray:
        """Returns token ids, truncated or padded, <int32>[batch, length]."""
        assert length is not None
        return encoded.padded(indices, length)

    def graph_batch(self, encoded: Ragged) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the identity, as NumPy does all the work."""
        return lambda ids: ids

    def raw(self, column: Column) -> list[bytes]:
        """Returns the texts in UTF-8."""
        return [text.encode("utf-8") for text in column]

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns the conversion of texts to token ids <int32>[batch, time], truncated to `length`."""
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
        """Returns quantiles of the lengths, in tokens."""
        lengths = {
            quantile: int(np.quantile(encoded.lengths, fraction, method="nearest"))
            for quantile, fraction in QUANTILES.items()
        }
        return {"tokens": {name: lengths}}

    def summary(self, name: str) -> str:
        """Returns the size of the vocabulary."""
        return f"vocabulary of {self.vocabulary_size:,} {name} tokens"

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns the texts."""
        return [list(column) for column in columns]

    def is_like(self, declared: Feature) -> bool:
        """Whether it is a text with the same use of END as the task declares."""
        return isinstance(declared, Text) and self.ends == declared.ends

    def problems(self, name: str) -> Iterator[str]:
        """Yields problems of a tokenizer state that `tokenizers.build` cannot have returned."""
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
            if _num_pieces(state["model"]) != size:
                yield f"{name}.tokenizer.model: expected a SentencePiece model of {size} pieces in base64"
        else:
            tokens = state["tokens"]
            if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
                yield f"{name}.tokenizer.tokens: expected a list of strings"
                return
            reserved = NUM_SPECIAL + (NUM_BYTES if kind == "characters" else 0)
            if len(set(tokens)) != len(tokens) or reserved + len(tokens) != size:
                yield f"{name}.tokenizer.tokens: expected {size - reserved} distinct tokens"


def _is_cleaning(steps: Any) -> bool:
    return (
        isinstance(steps, list)
        and len(steps) <= MAX_CLEANINGS
        and all(isinstance(step, str) and step in get_args(Cleaning) for step in steps)
    )


def _num_pieces(model: Any) -> int | None:
    """Returns the number of pieces of a SentencePiece model in base64, or None if it is invalid."""
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=base64.b64decode(model, validate=True)).vocab_size()
    except (binascii.Error, ValueError, TypeError, RuntimeError):
        return None
