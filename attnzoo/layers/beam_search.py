"""Beam search: several targets of each source are written side by side, the best are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from attnzoo.layers import decoding_loop
from attnzoo.layers.decoding import (
    MINUS_INFINITY,
    Decoder,
    DecoderOutput,
    Ensemble,
    forbid_special_tokens,
    length_limits,
    longest,
)
from attnzoo.special_tokens import END, PADDING, START

MAX_GROUP_SIZE = 128
"""Most classes of which only the greatest is looked at first."""

LengthPenalty = Literal["wu", "power"]


class Ranking(NamedTuple):
    """How targets of different lengths are compared.

        wu:    log p / ((5 + length) / 6)^alpha         power: log p / length^alpha

    plus, where there is one, coverage * sum over source tokens of log min(1, attention it got): it takes from
    targets that leave out a part of the source. A length counts END.

    Attributes:
        alpha: 0 for none, which favors short targets; 1 with "power" is the mean of a token.
        penalty: "wu" or "power", which is that of Marian.
        coverage: 0 for none.

    Reference: Wu et al. 2016, section 7, https://arxiv.org/abs/1609.08144; power: Junczys-Dowmunt et al.
        2018, https://arxiv.org/abs/1804.00344
    """

    alpha: float = 0.6
    penalty: LengthPenalty = "wu"
    coverage: float = 0.0

    def divisor(self, length: tf.Tensor) -> tf.Tensor:
        """Returns what the log probability is divided by, <float32> of the shape of `length`."""
        length = tf.cast(length, tf.float32)
        return (length if self.penalty == "power" else (5.0 + length) / 6.0) ** self.alpha

    def scores(self, log_probabilities: tf.Tensor, length: tf.Tensor, covered: tf.Tensor) -> tf.Tensor:
        """Returns <float32>[batch, count].

        Args:
            log_probabilities: <float32>[batch, count].
            length: <int32>, tokens with END; broadcasts against them.
            covered: <float32>[batch, count, source], attention that each source token got; 1 at padding.
        """
        scores = log_probabilities / self.divisor(length)
        if not self.coverage:
            return scores
        enough = tf.clip_by_value(covered, 1e-6, 1.0)
        return scores + self.coverage * tf.reduce_sum(tf.math.log(enough), axis=-1)


WU = Ranking()


class _Running(NamedTuple):
    """Hypotheses that are not finished, best first: one for each beam.

    Attributes:
        total: log probability <float32>[batch, beams].
        tokens: <int32>[batch, beams, max_length].
        ancestry: <int32>[batch, beams, max_length], see `DecoderBlock.step`.
        covered: <float32>[batch, beams, source].
    """

    total: tf.Tensor
    tokens: tf.Tensor
    ancestry: tf.Tensor
    covered: tf.Tensor


class _Source(NamedTuple):
    """What a search knows of the sources.

    Attributes:
        mask: <bool>[batch, source].
        limits: most tokens of a target <int32>[batch, 1].
    """

    mask: tf.Tensor
    limits: tf.Tensor


class _Finished(NamedTuple):
    """Finished hypotheses, best first.

    Attributes:
        scores: <float32>[batch, beams], -inf where there is none yet.
        total: log probability <float32>[batch, beams].
        tokens: <int32>[batch, beams, max_length].
        ancestry: <int32>[batch, beams, max_length].
    """

    scores: tf.Tensor
    total: tf.Tensor
    tokens: tf.Tensor
    ancestry: tf.Tensor


def _take(state, chosen: tf.Tensor):
    """Returns the targets of a state at the indices `chosen` <int32>[batch, count]."""
    return type(state)(*(tf.gather(tensor, chosen, batch_dims=1) for tensor in state))


def beam_search(
    models: Sequence[Decoder],
    source: tf.Tensor,
    max_length: int | tf.Tensor,
    beams: int,
    ranking: Ranking = WU,
    count: int = 1,
    length_ratio: float = 2.0,
    unknown: bool = True,
) -> DecoderOutput:
    """Searches for the targets with the highest score.

    At each position every target is continued in every way, and the `beams` most likely that do not end go
    on. A source is done when as many targets have finished as there are beams, or when none that goes on can
    rank among the `count` best. Key and value of a position stay in the beam where they were computed;
    `ancestry` records the beams that each hypothesis came through.

    Args:
        models: one, or an ensemble.
        source: <int32>[batch, source], 0 is padding.
        max_length: most target tokens, END included; <int32>[] where the width of the source is not known.
        beams: targets that are written side by side, 1 or more.
        ranking: how targets are compared.
        count: targets to return, 1 to `beams`.
        length_ratio: most target tokens for each token of the source, 10 aside.
        unknown: whether UNKNOWN may be written.

    Raises:
        ValueError: `beams` below 1, or `count` not in 1 to `beams`.
    """
    if not 1 <= count <= beams:
        raise ValueError(f"`count` must be 1 to `beams`. Received: count={count}, beams={beams}")
    max_length = longest(source, max_length, length_ratio)
    ensemble = Ensemble(models)
    encoded, source_mask = ensemble.encode(source)
    limits = length_limits(source_mask, max_length, length_ratio)[:, None]
    batch, source_length = tf.shape(source)[0], tf.shape(source)[1]
    indices = tf.range(beams)

    def advance(position: tf.Tensor, state: decoding_loop.State) -> decoding_loop.State:
        (finished, attention), (running, (source_mask, limits)) = state.results, state.going_on
        at_position = tf.range(max_length) == position  # [max_length]
        last = tf.reduce_sum(tf.where(tf.range(max_length) == position - 1, running.tokens, 0), axis=-1)
        token = tf.where(position == 0, START, last)  # [batch, beams]
        ancestry = tf.where(at_position, indices[:, None], running.ancestry)
        steps, caches, attended = ensemble.step(token, state.caches, position, ancestry, source_mask)
        attention = keras.ops.slice_update(attention, [0, position, 0, 0], attended[:, None])
        running = running._replace(ancestry=ancestry, covered=running.covered + attended)

        steps = forbid_special_tokens(steps, unknown)
        vocabulary = steps.shape[-1]
        must_end = (position + 1 >= limits)[..., None]  # [batch, 1, 1]
        steps = tf.where(must_end & (tf.range(vocabulary) != END), MINUS_INFINITY, steps)
        # Each target can end in one way, so among twice as many there are enough that go on.
        total, index = _highest(running.total[..., None] + steps, 2 * beams)
        parent, chosen = index // vocabulary, index % vocabulary  # [batch, 2 * beams]
        candidates = _take(running, parent)
        candidates = candidates._replace(
            total=total, tokens=tf.where(at_position, chosen[..., None], candidates.tokens)
        )
        ends = chosen == END

        # Only what ends among the best counts: one that ends far behind them says nothing of when to stop.
        may_end = ends & (tf.range(2 * beams) < beams) & ~state.done[:, None] & (total > MINUS_INFINITY)
        scores = ranking.scores(total, position + 1, candidates.covered)
        new = _Finished(
            tf.where(may_end, scores, MINUS_INFINITY), total, candidates.tokens, candidates.ancestry
        )
        both = _Finished(*(tf.concat(pair, axis=1) for pair in zip(finished, new, strict=True)))
        finished = _take(both, tf.math.top_k(both.scores, beams).indices)

        continuing = tf.where(ends, MINUS_INFINITY, total)
        running = _take(candidates._replace(total=continuing), tf.math.top_k(continuing, beams).indices)
        done = state.done | _is_done(running, finished, limits, ranking, count)
        return decoding_loop.State(
            done, (finished, attention), (running, _Source(source_mask, limits)), caches
        )

    # At first all beams hold the same target: one of them is enough.
    total = tf.tile(tf.where(indices == 0, 0.0, MINUS_INFINITY)[None], [batch, 1])
    covered = tf.tile(tf.cast(~source_mask, tf.float32)[:, None], [1, beams, 1])
    nothing = tf.fill([batch, beams], MINUS_INFINITY)
    no_tokens = tf.zeros([batch, beams, max_length], tf.int32)
    plan = decoding_loop.plan(source, max_length)
    start = decoding_loop.State(
        tf.fill([batch], False),
        (
            _Finished(nothing, nothing, no_tokens, no_tokens),
            tf.zeros([batch, max_length, beams, source_length]),
        ),
        (_Running(total, no_tokens, no_tokens, covered), _Source(source_mask, limits)),
        ensemble.start(encoded, beams, plan.short),
    )
    finished, attention = decoding_loop.repeat(
        advance, start, plan, lambda caches, length: ensemble.grow(caches, beams, length)
    )
    best = _Finished(*(tensor[:, :count] for tensor in finished))
    attention = tf.reshape(attention, [batch, max_length * beams, source_length])
    alignment = tf.gather(attention, tf.range(max_length) * beams + best.ancestry, batch_dims=1)
    alignment = tf.where(best.tokens[..., None] != PADDING, alignment, 0.0)
    return DecoderOutput(best.tokens, best.total, best.scores, alignment)


def _highest(totals: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the `count` greatest of <float32>[batch, beams, vocabulary], greatest first, and their indices.

    They lie in the `count` groups of classes with the greatest maxima: only these are sorted.

    Returns:
        <float32>[batch, count], and <int32>[batch, count] into [beams * vocabulary].
    """
    batch, beams, vocabulary = tf.shape(totals)[0], totals.shape[1], totals.shape[2]
    size = max(size for size in range(1, MAX_GROUP_SIZE + 1) if vocabulary % size == 0)
    groups = vocabulary // size
    grouped = tf.reshape(totals, [batch, beams * groups, size])
    chosen = tf.math.top_k(tf.reduce_max(grouped, axis=-1), min(count, beams * groups)).indices
    few = tf.gather(grouped, chosen, batch_dims=1)  # [batch, at most count, size]
    values, places = tf.math.top_k(tf.reshape(few, [batch, chosen.shape[1] * size]), count)
    group = tf.gather(chosen, places // size, batch_dims=1)  # of all beams
    return values, group * size + places % size


def _is_done(
    running: _Running, finished: _Finished, limits: tf.Tensor, ranking: Ranking, count: int
) -> tf.Tensor:
    """Returns <bool>[batch], see `beam_search`."""
    enough = tf.reduce_all(finished.scores > MINUS_INFINITY, axis=1)
    # A log probability only falls, and no divisor is above that of the greatest length.
    best_future = tf.reduce_max(running.total, axis=1) / ranking.divisor(limits[:, 0])
    return enough | (best_future <= finished.scores[:, count - 1])
