"""From alignments of words to where the tokens of a translation ought to attend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.records.text_files import shown
from attnzoo.text import alignments, tokenizers
from attnzoo.text.ragged import Ragged


class Side(NamedTuple):
    """The sources, or the targets, of pairs.

    Attributes:
        texts: <object>[pairs] of str.
        tokenizer: the state that splits them.
        lengths: <int>[pairs], their tokens, without END.
    """

    texts: Iterable[str]
    tokenizer: Mapping[str, Any]
    lengths: np.ndarray


def token_links(lines: Iterable[str], source: Side, target: Side) -> Ragged:
    """Returns the links between the tokens of each pair: all tokens of two aligned words are linked.

    Args:
        lines: alignments of words, see `alignments`.
        source, target: what they are about.

    Returns:
        `values` <int32>[links, 2], places of a target token and of a source token, each link once, and
        `offsets` <int64>[examples + 1].

    Raises:
        UserError: a text whose tokens are not those of its words one after another.
    """
    links = [
        sorted(set(_links(line, of_source, of_target)))
        for line, of_source, of_target in zip(lines, _word_ends(*source), _word_ends(*target), strict=True)
    ]
    values = np.array([link for of_pair in links for link in of_pair], np.int32).reshape(-1, 2)
    return Ragged.of(values, np.array([len(of_pair) for of_pair in links]))


def _links(line: str, source: Sequence[int], target: Sequence[int]) -> Iterator[tuple[int, int]]:
    for of_source, of_target in alignments.pairs(line):
        for place in range(target[of_target], target[of_target + 1]):
            for other in range(source[of_source], source[of_source + 1]):
                yield place, other


def _word_ends(texts: Iterable[str], state: Mapping[str, Any], lengths: np.ndarray) -> list[list[int]]:
    """Returns for each text 0 and then, for each word, the number of tokens up to its end."""
    texts = list(texts)
    words = [alignments.words(text) for text in texts]
    flat = [word for of_text in words for word in of_text]
    _, sizes = tokenizers.encode_all(tokenizers.from_state(state), flat)
    ends, first = [], 0
    for text, of_text, length in zip(texts, words, lengths, strict=True):
        own = np.cumsum([0, *sizes[first : first + len(of_text)]]).tolist()
        first += len(of_text)
        if own[-1] != length:
            raise UserError(
                f"train.guided_alignment: '{shown(text)}': its tokens are not those of its words one after "
                "another, so links of words do not fit them; take data.tokenizer words, subwords or bpe, and "
                "leave data.clean out."
            )
        ends.append(own)
    return ends


def attention_targets(links: Ragged, indices: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns where each target token ought to attend, <float32>[batch, target, source].

    Args:
        links: what `token_links` gave.
        indices: <int32>[batch], of the examples.
        source, target: <int32>[], padded lengths.

    Returns:
        Rows that sum to 1, spread over the source tokens that a target token is linked to, or rows of zeros.
    """
    offsets = tf.constant(links.offsets)
    places = tf.ragged.range(tf.gather(offsets, indices), tf.gather(offsets, indices + 1))  # [batch, (links)]
    pairs = tf.gather(links.values, places.flat_values)  # [links, 2]
    whole = (pairs[:, 0] < target) & (pairs[:, 1] < source - 1)  # the last of a cut source is END
    cells = tf.concat([tf.cast(places.value_rowids()[:, None], tf.int32), pairs], axis=1)
    cells = tf.boolean_mask(cells, whole)
    shape = tf.stack([tf.size(indices), target, source])
    matrix = tf.scatter_nd(cells, tf.ones(tf.shape(cells)[:1]), shape)
    return tf.math.divide_no_nan(matrix, tf.reduce_sum(matrix, axis=-1, keepdims=True))
