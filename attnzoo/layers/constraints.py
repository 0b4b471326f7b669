"""What generated sequences must fulfill: lengths, tokens that must not come next, forced beginnings."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from attnzoo.special_tokens import END, PADDING, START, UNKNOWN

MINUS_INFINITY = -float("inf")
SPARE_TOKENS = 10
"""Tokens that are always allowed, besides those in proportion to the source and those of a prefix."""


class Constraints(NamedTuple):
    """Which sequences may be generated.

    Attributes:
        length_ratio: maximum number of tokens per source token, plus `SPARE_TOKENS`.
        unknown: whether UNKNOWN may be generated.
        min_length: minimum number of tokens before END, 0 or more, if the maximum allows it.
        no_repeat_ngram: length of the n-grams that must not occur twice, 1 or more; 0 for none.
    """

    length_ratio: float = 2.0
    unknown: bool = True
    min_length: int = 0
    no_repeat_ngram: int = 0

    def limits(
        self, source_mask: tf.Tensor, max_length: int | tf.Tensor, prefix: tf.Tensor | None
    ) -> tf.Tensor:
        """Returns the maximum length of each sequence, END included, <int32>[batch].

        Args:
            source_mask: <bool>[batch, source].
            max_length: maximum of all.
            prefix: forced beginnings <int32>[batch, prefix], padded with 0; None without.
        """
        source_lengths = tf.reduce_sum(tf.cast(source_mask, tf.float32), axis=1)
        lengths = tf.cast(tf.math.ceil(self.length_ratio * source_lengths), tf.int32)
        if prefix is not None:
            lengths = tf.maximum(lengths, tf.math.count_nonzero(prefix, axis=1, dtype=tf.int32))
        return tf.minimum(max_length, lengths + SPARE_TOKENS)

    def padded_length(
        self, source: tf.Tensor, max_length: int | tf.Tensor, prefix: tf.Tensor | None
    ) -> int | tf.Tensor:
        """Returns the padded length of the sequences: `max_length`, or less for a short source and prefix."""
        widths = [source.shape[1], 0 if prefix is None else prefix.shape[1]]
        if None in widths:
            return max_length
        return min(max_length, max(math.ceil(self.length_ratio * widths[0]), widths[1]) + SPARE_TOKENS)

    def apply(
        self,
        log_probabilities: tf.Tensor,
        tokens: tf.Tensor,
        position: tf.Tensor,
        prefix: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Sets the tokens that must not come next to -inf; at least one other is left.

        Args:
            log_probabilities: <float32>[batch, beams, vocabulary] of the next token.
            tokens: <int32>[batch, beams, max_length], those before `position` are generated.
            position: <int32>[], of the next token.
            prefix: forced beginnings <int32>[batch, prefix], padded with 0; None without.
        """
        allowed = forbid_special_tokens(log_probabilities, self.unknown)
        if self.no_repeat_ngram:
            allowed = forbid_repeated_ngrams(allowed, tokens, position, self.no_repeat_ngram)
        if self.min_length:
            allowed = _forbid_end(allowed, position < self.min_length)
        return allowed if prefix is None else _force(log_probabilities, allowed, position, prefix)


UNCONSTRAINED = Constraints()


def forbid_special_tokens(log_probabilities: tf.Tensor, unknown: bool) -> tf.Tensor:
    """Sets tokens that must not be generated to -inf: padding, START and, unless allowed, UNKNOWN."""
    ids = tf.range(log_probabilities.shape[-1])
    forbidden = (ids == PADDING) | (ids == START)
    if not unknown:
        forbidden |= ids == UNKNOWN
    return tf.where(forbidden, MINUS_INFINITY, log_probabilities)


def only_end(log_probabilities: tf.Tensor) -> tf.Tensor:
    """Sets all tokens but END to -inf."""
    return tf.where(tf.range(log_probabilities.shape[-1]) == END, log_probabilities, MINUS_INFINITY)


def forbid_repeated_ngrams(
    log_probabilities: tf.Tensor, tokens: tf.Tensor, position: tf.Tensor, size: int
) -> tf.Tensor:
    """Sets each token that would complete an n-gram for the second time to -inf, and PADDING.

    Args:
        log_probabilities: <float32>[batch, beams, vocabulary] of the next token.
        tokens: <int32>[batch, beams, max_length], those before `position` are generated.
        position: <int32>[], of the next token.
        size: length of the n-grams, 1 or more.

    Examples:
        >>> tokens = tf.constant([[[5, 6, 5, 0]]])
        >>> forbid_repeated_ngrams(tf.zeros([1, 1, 8]), tokens, tf.constant(3), 2).numpy()[0, 0].tolist()
        [-inf, 0.0, 0.0, 0.0, 0.0, 0.0, -inf, 0.0]
    """
    length = tf.shape(tokens)[2]
    places = tf.range(length)  # of the last token of an n-gram
    repeated = tf.fill(tf.shape(tokens), True) & (places >= size - 1) & (places < position)
    for back in range(1, size):
        now = tf.reduce_sum(tf.where(places == position - back, tokens, 0), axis=-1, keepdims=True)
        then = tf.pad(tokens, [[0, 0], [0, 0], [back, 0]])[..., :length]  # [batch, beams, max_length]
        repeated &= then == now
    forbidden = tf.reshape(tf.where(repeated, tokens, PADDING), [-1, length])  # [batch * beams, max_length]
    rows = tf.reshape(log_probabilities, [-1, log_probabilities.shape[-1]])  # [batch * beams, vocabulary]
    numbers = tf.broadcast_to(tf.range(tf.shape(rows)[0])[:, None], tf.shape(forbidden))
    values = tf.fill(tf.shape(forbidden), MINUS_INFINITY)
    rows = tf.tensor_scatter_nd_update(rows, tf.stack([numbers, forbidden], axis=-1), values)
    return tf.ensure_shape(tf.reshape(rows, tf.shape(log_probabilities)), log_probabilities.shape)


def _forbid_end(log_probabilities: tf.Tensor, is_early: tf.Tensor) -> tf.Tensor:
    """Sets END to -inf if it is too early and another token is possible."""
    others = tf.where(
        tf.range(log_probabilities.shape[-1]) == END, MINUS_INFINITY, log_probabilities
    )  # [batch, beams, vocabulary]
    is_possible = tf.reduce_max(others, axis=-1, keepdims=True) > MINUS_INFINITY
    return tf.where(is_early & is_possible, others, log_probabilities)


def _force(
    log_probabilities: tf.Tensor, allowed: tf.Tensor, position: tf.Tensor, prefix: tf.Tensor
) -> tf.Tensor:
    """Returns `allowed`; inside of a prefix only its token is, whatever it is."""
    at_position = tf.range(tf.shape(prefix)[1]) == position  # [prefix]
    token = tf.reduce_sum(tf.where(at_position, prefix, PADDING), axis=1)[:, None, None]  # [batch, 1, 1]
    is_token = tf.range(log_probabilities.shape[-1]) == token  # [batch, 1, vocabulary]
    forced = tf.where(is_token, log_probabilities, MINUS_INFINITY)
    return tf.where(token == PADDING, allowed, forced)
