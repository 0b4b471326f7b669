"""What texts can be split into and cleaned of, by name. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

Tokenization = Literal["words", "characters", "bytes", "subwords", "bpe"]
"""What a token can be."""

SUBWORD_MODELS = {"subwords": "unigram", "bpe": "bpe"}
"""Tokenizers into pieces of words -> what SentencePiece learns; the model itself says what it is."""

LEARNED = {"words": "tokens", "characters": "tokens", "bytes": None, "subwords": "model"}
"""Kind of a tokenizer's state -> the key of what was learned; the model of subwords says how it splits."""

Cleaning = Literal["html", "whitespace", "unicode"]
"""What can be cleaned from a text, in graph operations."""

MAX_CLEANINGS = 8
MAX_VOCABULARY = 1_000_000
MAX_LENGTH = 65_536
MAX_BUCKETS = 16
