"""Names of the kinds of tokens and cleaning steps. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

Tokenization = Literal["words", "characters", "bytes", "subwords", "bpe"]
"""Kinds of tokens."""

SUBWORD_MODELS = {"subwords": "unigram", "bpe": "bpe"}
"""Subword tokenizer -> model type of SentencePiece."""

LEARNED = {"words": "tokens", "characters": "tokens", "bytes": None, "subwords": "model"}
"""Kind of a tokenizer's state -> key of its vocabulary; bpe has the kind "subwords" as well."""

Cleaning = Literal["html", "whitespace", "unicode"]
"""Cleaning steps; see `cleaning.STEPS`."""

MAX_CLEANINGS = 8
MAX_VOCABULARY = 1_000_000
MAX_LENGTH = 65_536
MAX_BUCKETS = 16
