"""Beam search: several hypotheses are generated for each source in parallel, and the best are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from attnzoo.layers import decoding_loop
from attnzoo.layers.constraints import MINUS_INFINITY, UNCONSTRAINED, Constraints, only_end
from attnzoo.layers.decoding import Decoder, DecoderOutput, Ensemble
from attnzoo.special_tokens import END, PADDING, START

MAX_GROUP_SIZE = 128
"""Maximum number of classes in a group of which only the maximum is compared first."""

LengthPenalty = Literal["wu", "power"]


class Ranking(NamedTuple):
    """How hypotheses of different lengths are compared.

        wu:    log p / ((5 + length) / 6)^alpha         power: log p / length^alpha

    plus coverage * sum over source tokens of log min(1, total attention to the token), which penalizes
    hypotheses that leave out a part of the source. END counts towards the length.

    Attributes:
        alpha: exponent of the length penalty, 0 or more; 0 for none, which favors short targets. With
            "power", 1 is the mean log probability per token.
        penalty: "wu", or "power" as in Marian.
        coverage: strength of the coverage penalty, 0 or more; 0 for none.

    Reference: Wu et al. 2016, section 7, https://arxiv.org/abs/1609.08144; power: Junczys-Dowmunt et al.
        2018, https://arxiv.org/abs/1804.00344
    """

    alpha: float = 0.6
    penalty: LengthPenalty = "wu"
    coverage: float = 0.0

    def divisor(self, length: tf.Tensor) -> tf.Tensor:
        """Returns the length penalty that divides the log probability, <float32> of the shape of `length`."""
        length = tf.cast(length, tf.float32)
        return (length if self.penalty == "power" else (5.0 + length) / 6.0) ** self.alpha

    def hypothesis_scores(
        self, log_probabilities: tf.Tensor, length: tf.Tensor, attention_received: tf.Tensor
    ) -> tf.Tensor:
        """Returns <float32>[batch, count].

        Args:
            log_probabilities: <float32>[batch, count].
            length: <int32>, number of tokens with END; broadcasts with `log_probabilities`.
            attention_received: <float32>[batch, count, source], total attention to each source token; 1 at
                padding.
        """
        scores = log_probabilities / self.divisor(length)
        if not self.coverage:
            return scores
        clipped = tf.clip_by_value(attention_received, 1e-6, 1.0)
        return scores + self.coverage * tf.reduce_sum(tf.math.log(clipped), axis=-1)


WU = Ranking()


class _Running(NamedTuple):
    """Unfinished hypotheses, best first: one for each beam.

    Attributes:
        log_probability: <float32>[batch, beams].
        tokens: <int32>[batch, beams, max_length].
        ancestry: <int32>[batch, beams, max_length], see `DecoderBlock.step`.
        attention_received: by each source token, <float32>[batch, beams, source].
    """

    log_probability: tf.Tensor
    tokens: tf.Tensor
    ancestry: tf.Tensor
    attention_received: tf.Tensor


class _Source(NamedTuple):
    """What the search needs of the sources.

    Attributes:
        mask: <bool>[batch, source].
        limits: maximum number of target tokens <int32>[batch, 1].
        prefix: forced beginning of the targets <int32>[batch, prefix], padded with 0; empty without.
    """

    mask: tf.Tensor
    limits: tf.Tensor
    prefix: tuple[tf.Tensor, ...]


class _Finished(NamedTuple):
    """Finished hypotheses, best first.

    Attributes:
        hypothesis_score: <float32>[batch, beams], -inf where there is no hypothesis yet.
        log_probability: <float32>[batch, beams].
        tokens: <int32>[batch, beams, max_length].
        ancestry: <int32>[batch, beams, max_length].
    """

    hypothesis_score: tf.Tensor
    log_probability: tf.Tensor
    tokens: tf.Tensor
    ancestry: tf.Tensor


def _select(hypotheses, indices: tf.Tensor):
    """Returns the hypotheses at `indices` <int32>[batch, count]."""
    return type(hypotheses)(*(tf.gather(tensor, indices, batch_dims=1) for tensor in hypotheses))


def beam_search(
    models: Sequence[Decoder],
    source: tf.Tensor,
    max_length: int | tf.Tensor,
    beams: int,
    ranking: Ranking = WU,
    count: int = 1,
    constraints: Constraints = UNCONSTRAINED,
    prefix: tf.Tensor | None = None,
) -> DecoderOutput:
    """Searches for the target sequences with the highest score.

    At each position every running hypothesis is extended by every token, and the `beams` most likely
    extensions that do not end keep running. The search for a source is done when `beams` hypotheses have
    finished, or when no running one can rank among the `count` best. Key and value of a position stay in the
    beam where they were computed; `ancestry` records which beams each hypothesis went through.

    Args:
        models: one model, or several for an ensemble.
        source: <int32>[batch, source], 0 is padding.
        max_length: maximum number of target tokens, END included; <int32>[] if the width of the source is not
            static.
        beams: beam size, 1 or more.
        ranking: how hypotheses are compared.
        count: number of hypotheses to return, 1 to `beams`.
        constraints: which targets may be generated.
        prefix: forced beginning of the targets of each source, <int32>[batch, prefix], padded with 0.

    Raises:
        ValueError: `beams` below 1, or `count` not in 1 to `beams`.

    Examples:
        >>> from attnzoo.layers.encoder_decoder import EncoderDecoder
        >>> options = {"num_encoder_layers": 1, "num_decoder_layers": 1, "feed_forward_units": 16}
        >>> model = EncoderDecoder(11, 13, units=8, attention={"name": "additive"}, **options)
        >>> source = tf.constant([[5, 6, 7, 0]])
        >>> _ = model({"source": source, "target": source})  # creates the variables
        >>> beam_search([model], source, max_length=3, beams=2, count=2).tokens.shape
        TensorShape([1, 2, 3])
    """
    if not 1 <= count <= beams:
        raise ValueError(f"`count` must be 1 to `beams`. Received: count={count}, beams={beams}")
    max_length = constraints.padded_length(source, max_length, prefix)
    ensemble = Ensemble(models)
    encoded, source_mask = ensemble.encode(source)
    limits = constraints.limits(source_mask, max_length, prefix)[:, None]
    batch, source_length = tf.shape(source)[0], tf.shape(source)[1]
    indices = tf.range(beams)

    def advance(position: tf.Tensor, state: decoding_loop.State) -> decoding_loop.State:
        (finished, attention), (running, given) = state.results, state.carry
        at_position = tf.range(max_length) == position  # [max_length]
        previous = tf.reduce_sum(tf.where(tf.range(max_length) == position - 1, running.tokens, 0), axis=-1)
        token = tf.where(position == 0, START, previous)  # [batch, beams]
        ancestry = tf.where(at_position, indices[:, None], running.ancestry)
        log_probabilities, caches, weights = ensemble.step(
            token, state.caches, position, ancestry, given.mask
        )
        attention = keras.ops.slice_update(attention, [0, position, 0, 0], weights[:, None])
        running = running._replace(ancestry=ancestry, attention_received=running.attention_received + weights)

        allowed = constraints.apply(log_probabilities, running.tokens, position, *given.prefix)
        must_end = (position + 1 >= given.limits)[..., None]  # [batch, 1, 1]
        log_probabilities = tf.where(must_end, only_end(log_probabilities), allowed)
        vocabulary = log_probabilities.shape[-1]
        # Each hypothesis can end in one way, so among 2 * beams candidates at least `beams` do not end.
        total = running.log_probability[..., None] + log_probabilities  # [batch, beams, vocabulary]
        log_probability, index = _top_k(total, 2 * beams)
        parent, token = index // vocabulary, index % vocabulary  # [batch, 2 * beams]
        candidates = _select(running, parent)
        candidates = candidates._replace(
            log_probability=log_probability,
            tokens=tf.where(at_position, token[..., None], candidates.tokens),
        )
        ends = token == END

        # Only candidates that end among the first `beams` count as finished, as worse ones should not stop
        # the search.
        may_end = ends & (tf.range(2 * beams) < beams) & ~state.done[:, None]
        may_end &= log_probability > MINUS_INFINITY
        scores = ranking.hypothesis_scores(log_probability, position + 1, candidates.attention_received)
        new = _Finished(
            tf.where(may_end, scores, MINUS_INFINITY),
            log_probability,
            candidates.tokens,
            candidates.ancestry,
        )
        both = _Finished(*(tf.concat(pair, axis=1) for pair in zip(finished, new, strict=True)))
        finished = _select(both, tf.math.top_k(both.hypothesis_score, beams).indices)

        log_probability = tf.where(ends, MINUS_INFINITY, log_probability)
        candidates = candidates._replace(log_probability=log_probability)
        running = _select(candidates, tf.math.top_k(log_probability, beams).indices)
        done = state.done | _is_done(running, finished, given.limits, ranking, count)
        return decoding_loop.State(done, (finished, attention), (running, given), caches)

    # At first all beams hold the same hypothesis, so all but one are excluded.
    log_probability = tf.tile(tf.where(indices == 0, 0.0, MINUS_INFINITY)[None], [batch, 1])
    attention_received = tf.tile(tf.cast(~source_mask, tf.float32)[:, None], [1, beams, 1])
    no_score = tf.fill([batch, beams], MINUS_INFINITY)
    no_tokens = tf.zeros([batch, beams, max_length], tf.int32)
    plan = decoding_loop.plan(source, max_length)
    start = decoding_loop.State(
        tf.fill([batch], False),
        (
            _Finished(no_score, no_score, no_tokens, no_tokens),
            tf.zeros([batch, max_length, beams, source_length]),
        ),
        (
            _Running(log_probability, no_tokens, no_tokens, attention_received),
            _Source(source_mask, limits, () if prefix is None else (prefix,)),
        ),
        ensemble.start(encoded, beams, plan.short),
    )
    finished, attention = decoding_loop.run(
        advance, start, plan, lambda caches, length: ensemble.grow(caches, beams, length)
    )
    best = _Finished(*(tensor[:, :count] for tensor in finished))
    attention = tf.reshape(attention, [batch, max_length * beams, source_length])
    alignment = tf.gather(attention, tf.range(max_length) * beams + best.ancestry, batch_dims=1)
    alignment = tf.where(best.tokens[..., None] != PADDING, alignment, 0.0)
    return DecoderOutput(best.tokens, best.log_probability, best.hypothesis_score, alignment)


def _top_k(values: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the `count` largest of <float32>[batch, beams, vocabulary], largest first, and their indices.

    They are in the `count` groups of classes with the largest maxima, so only those are sorted.

    Returns:
        <float32>[batch, count], and <int32>[batch, count] into [beams * vocabulary].
    """
    batch, beams, vocabulary = tf.shape(values)[0], values.shape[1], values.shape[2]
    size = max(size for size in range(1, MAX_GROUP_SIZE + 1) if vocabulary % size == 0)
    groups = vocabulary // size
    grouped = tf.reshape(values, [batch, beams * groups, size])
    chosen = tf.math.top_k(tf.reduce_max(grouped, axis=-1), min(count, beams * groups)).indices
    candidates = tf.gather(grouped, chosen, batch_dims=1)  # [batch, at most count, size]
    candidates = tf.reshape(candidates, [batch, chosen.shape[1] * size])
    largest, indices = tf.math.top_k(candidates, count)
    group = tf.gather(chosen, indices // size, batch_dims=1)
    return largest, group * size + indices % size


def _is_done(
    running: _Running, finished: _Finished, limits: tf.Tensor, ranking: Ranking, count: int
) -> tf.Tensor:
    """Returns <bool>[batch], see `beam_search`."""
    all_finished = tf.reduce_all(finished.hypothesis_score > MINUS_INFINITY, axis=1)
    # Log probabilities only decrease, and no divisor is larger than that of the maximum length.
    best_future = tf.reduce_max(running.log_probability, axis=1) / ranking.divisor(limits[:, 0])
    return all_finished | (best_future <= finished.hypothesis_score[:, count - 1])
