"""Attention targets for the tokens of a translation, from word alignments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.records.text_files import printable
from attnzoo.text import alignments, tokenizers
from attnzoo.text.ragged import Ragged


class Side(NamedTuple):
    """All sources, or all targets, of translation pairs.

    Attributes:
        texts: <object>[pairs] of str.
        tokenizer: state of their tokenizer.
        lengths: <int>[pairs], number of tokens without END.
    """

    texts: Iterable[str]
    tokenizer: Mapping[str, Any]
    lengths: np.ndarray


def token_links(lines: Iterable[str], source: Side, target: Side) -> Ragged:
    """Returns the links between the tokens of each pair, linking all tokens of two aligned words.

    Args:
        lines: word alignments, see `alignments`.
        source, target: the aligned texts.

    Returns:
        `values` <int32>[links, 2], positions of a target token and a source token, each link once, and
        `offsets` <int64>[examples + 1].

    Raises:
        UserError: the tokens of a text are not the concatenated tokens of its words.
    """
    links = [
        sorted(set(_links(line, source_ends, target_ends)))
        for line, source_ends, target_ends in zip(
            lines, _word_ends(*source), _word_ends(*target), strict=True
        )
    ]
    values = np.array([link for pair_links in links for link in pair_links], np.int32).reshape(-1, 2)
    return Ragged.from_lengths(values, np.array([len(pair_links) for pair_links in links]))


def _links(line: str, source: Sequence[int], target: Sequence[int]) -> Iterator[tuple[int, int]]:
    for source_word, target_word in alignments.pairs(line):
        for target_token in range(target[target_word], target[target_word + 1]):
            for source_token in range(source[source_word], source[source_word + 1]):
                yield target_token, source_token


def _word_ends(texts: Iterable[str], state: Mapping[str, Any], lengths: np.ndarray) -> list[list[int]]:
    """Returns for each text 0, followed by the number of tokens up to the end of each word."""
    texts = list(texts)
    words = [alignments.words(text) for text in texts]
    flat = [word for text_words in words for word in text_words]
    _, sizes = tokenizers.encode_all(tokenizers.from_state(state), flat)
    ends, first = [], 0
    for text, text_words, length in zip(texts, words, lengths, strict=True):
        text_ends = np.cumsum([0, *sizes[first : first + len(text_words)]]).tolist()
        first += len(text_words)
        if text_ends[-1] != length:
            raise UserError(
                f"train.guided_alignment: '{printable(text)}': its tokens are not the concatenated "
                "tokens of its words, so word alignments do not apply to them; set data.tokenizer: words, "
                "subwords or bpe, and remove data.clean."
            )
        ends.append(text_ends)
    return ends


def attention_targets(links: Ragged, indices: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns the attention targets of each target token, <float32>[batch, target, source].

    Args:
        links: result of `token_links`.
        indices: <int32>[batch], indices of the examples.
        source, target: <int32>[], padded lengths.

    Returns:
        Rows that sum to 1, evenly over the source tokens linked to a target token, or rows of zeros.
    """
    offsets = tf.constant(links.offsets)
    positions = tf.ragged.range(
        tf.gather(offsets, indices), tf.gather(offsets, indices + 1)
    )  # [batch, (links)]
    pairs = tf.gather(links.values, positions.flat_values)  # [links, 2]
    is_inside = (pairs[:, 0] < target) & (pairs[:, 1] < source - 1)  # a truncated source ends with END
    cells = tf.concat([tf.cast(positions.value_rowids()[:, None], tf.int32), pairs], axis=1)
    cells = tf.boolean_mask(cells, is_inside)
    shape = tf.stack([tf.size(indices), target, source])
    matrix = tf.scatter_nd(cells, tf.ones(tf.shape(cells)[:1]), shape)
    return tf.math.divide_no_nan(matrix, tf.reduce_sum(matrix, axis=-1, keepdims=True))
