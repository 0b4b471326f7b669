"""Subword regularization: training texts are split into different pieces in every epoch."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnzoo.text import tokenizers
from attnzoo.text.ragged import Ragged

SAMPLES = 64
"""Number of segmentations of each word drawn in advance; the first is the default one."""

WORDS_PER_CHUNK = 32_768


@dataclasses.dataclass(frozen=True)
class SubwordSampling:
    """Texts as sequences of words, with several segmentations for each distinct word.

    Pieces never span a space, so a text can be segmented word by word.

    Attributes:
        words: word numbers of each text.
        pieces: row w * SAMPLES + k holds the token ids of the k-th segmentation of word w.

    Reference: bpe: Provilkov et al. 2020 (BPE-dropout), https://arxiv.org/abs/1910.13267; unigram: Kudo 2018,
        https://arxiv.org/abs/1804.10959
    """

    words: Ragged
    pieces: Ragged

    def draw(self, generator: np.random.Generator, longest: int) -> Ragged:
        """Segments every text, choosing a random segmentation for each word.

        Args:
            generator: random generator.
            longest: largest number of tokens; texts that would have more get the default segmentation.

        Returns:
            Token ids of the texts.
        """
        default = self.words.values * SAMPLES  # [words]
        rows = default + generator.integers(0, SAMPLES, len(default), dtype=np.int32)
        too_long = self._lengths(rows) > longest  # [texts]
        rows = np.where(np.repeat(too_long, self.words.lengths), default, rows)
        return Ragged.from_lengths(self.pieces.take(rows).values, self._lengths(rows))

    def _lengths(self, rows: np.ndarray) -> np.ndarray:
        """Returns the number of tokens of each text, <int64>[texts], for rows of `pieces` <int32>[words]."""
        ends = np.concatenate([[0], np.cumsum(self.pieces.lengths[rows])])
        return np.diff(ends[self.words.offsets])


def learn(state: Mapping[str, Any], texts: Sequence[str], alpha: float) -> SubwordSampling:
    """Draws segmentations for each word of the texts; deterministic for the same arguments.

    Args:
        state: state of a subword tokenizer, see `tokenizers.build`.
        texts: raw texts.
        alpha: bpe: probability of dropping a merge, 0 to 1. unigram: exponent of the piece probabilities,
            above 0; smaller is more random.
    """
    import sentencepiece

    numbers: dict[str, int] = {}
    texts_as_numbers = [
        [numbers.setdefault(word, len(numbers)) for word in words]
        for words in tokenizers.split_words(tokenizers.from_state(state), texts)
    ]
    processor = sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(state["model"]))
    # Lists are encoded in a new thread, whose random generator starts with this seed.
    sentencepiece.set_random_generator_seed(0)

    def draw_segmentations(words: Sequence[str]) -> Ragged:
        repeated = [word for word in words for _ in range(SAMPLES)]
        drawn = processor.encode(repeated, enable_sampling=True, nbest_size=-1, alpha=alpha, num_threads=1)
        drawn[::SAMPLES] = processor.encode(words, num_threads=1)
        return _ragged(drawn)

    words = list(numbers)
    chunks = [
        draw_segmentations(words[start : start + WORDS_PER_CHUNK])
        for start in range(0, len(words), WORDS_PER_CHUNK)
    ]
    return SubwordSampling(_ragged(texts_as_numbers), Ragged.concatenate(chunks))


def _ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
    return Ragged.from_lengths(values, np.array([len(row) for row in rows], np.int64))
