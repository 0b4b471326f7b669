"""Subword regularization: training texts that are split into other pieces in every epoch."""

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
"""Ways to split one word that are drawn beforehand; the first is the usual one."""

WORDS_PER_CHUNK = 32_768


@dataclasses.dataclass(frozen=True)
class SubwordSampling:
    """Texts as words, and for each different word a choice of pieces.

    Pieces never reach over a space, so that a text is split as its words are, one by one.

    Attributes:
        words: number of each word of each text.
        pieces: row w SAMPLES + k holds the token ids of the k-th way to split word w.

    Reference: bpe: Provilkov et al. 2020 (BPE-dropout), https://arxiv.org/abs/1910.13267; unigram: Kudo 2018,
        https://arxiv.org/abs/1804.10959
    """

    words: Ragged
    pieces: Ragged

    def draw(self, generator: np.random.Generator, longest: int) -> Ragged:
        """Splits every text, each word in a way of its own.

        Args:
            generator: what the ways are drawn from.
            longest: a text that would have more tokens is split in the usual way.

        Returns:
            Token ids of the texts.
        """
        usual = self.words.values * SAMPLES  # [words]
        rows = usual + generator.integers(0, SAMPLES, len(usual), dtype=np.int32)
        too_long = self._lengths(rows) > longest  # [texts]
        rows = np.where(np.repeat(too_long, self.words.lengths), usual, rows)
        return Ragged.of(self.pieces.take(rows).values, self._lengths(rows))

    def _lengths(self, rows: np.ndarray) -> np.ndarray:
        """Returns <int64>[texts], the tokens of each text; `rows` <int32>[words] are ways of its words."""
        ends = np.concatenate([[0], np.cumsum(self.pieces.lengths[rows])])
        return np.diff(ends[self.words.offsets])


def learn(state: Mapping[str, Any], texts: Sequence[str], alpha: float) -> SubwordSampling:
    """Draws ways to split each word of texts; the same ones for the same arguments.

    Args:
        state: of a subword tokenizer, see `tokenizers.build`.
        texts: raw texts.
        alpha: bpe: how likely a merge is left out, 0 to 1. unigram: exponent of the pieces' probabilities;
            the smaller, the more even.
    """
    import sentencepiece

    numbers: dict[str, int] = {}
    of_texts = [
        [numbers.setdefault(word, len(numbers)) for word in words]
        for words in tokenizers.words_of_all(tokenizers.from_state(state), texts)
    ]
    processor = sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(state["model"]))
    # A list is split in a new thread, and each thread draws from a generator that begins with this seed.
    sentencepiece.set_random_generator_seed(0)

    def ways(words: Sequence[str]) -> Ragged:
        repeated = [word for word in words for _ in range(SAMPLES)]
        drawn = processor.encode(repeated, enable_sampling=True, nbest_size=-1, alpha=alpha, num_threads=1)
        drawn[::SAMPLES] = processor.encode(words, num_threads=1)
        return _ragged(drawn)

    words = list(numbers)
    chunks = [ways(words[start : start + WORDS_PER_CHUNK]) for start in range(0, len(words), WORDS_PER_CHUNK)]
    return SubwordSampling(_ragged(of_texts), Ragged.joined(chunks))


def _ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
    return Ragged.of(values, np.array([len(row) for row in rows], np.int64))
