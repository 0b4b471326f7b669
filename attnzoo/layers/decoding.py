"""Generating target sequences token by token, with static shapes and key/value caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from attnzoo.attention.dropout import fold_in, hash_key, make_rng_key
from attnzoo.layers import decoding_loop
from attnzoo.layers.constraints import MINUS_INFINITY, UNCONSTRAINED, Constraints
from attnzoo.special_tokens import END, PADDING, START

Select = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""Maps log probabilities <float32>[batch, beams, vocabulary], a position <int32>[] and the places of the rows
among the sources <int32>[batch] to the next tokens <int32>[batch, beams]."""


class Decoder(Protocol):
    """Methods that a model needs for generation; see `EncoderDecoder` for arguments and results."""

    def encode(self, source: tf.Tensor, training: bool | None = None) -> tuple[Any, tf.Tensor]:
        """Encodes the source."""

    def start(self, encoded: Any, beams: int, max_length: int) -> Any:
        """Returns empty caches."""

    def grow(self, caches: Any, beams: int, max_length: int) -> Any:
        """Extends the caches."""

    def step(self, tokens, caches, position, ancestry, source_mask) -> tuple[tf.Tensor, Any, tf.Tensor]:
        """Decodes one position of every beam."""


class DecoderOutput(NamedTuple):
    """Generated sequences, best first.

    Attributes:
        tokens: <int32>[batch, count, max_length], padding after END.
        log_probabilities: <float32>[batch, count], of the whole sequence including END, in nats.
        hypothesis_scores: <float32>[batch, count], by which the sequences are ranked; -inf if there is none.
        alignment: <float32>[batch, count, max_length, source], attention of each token to the source.
    """

    tokens: tf.Tensor
    log_probabilities: tf.Tensor
    hypothesis_scores: tf.Tensor
    alignment: tf.Tensor


class Ensemble:
    """Several models that generate together, by the mean of their probabilities and attention weights.

    Args:
        models: one or more models with the same source and target vocabulary.

    Raises:
        ValueError: `models` is empty.
    """

    def __init__(self, models: Sequence[Decoder]) -> None:
        if not models:
            raise ValueError("`models` must not be empty. Received: models=[]")
        self.models = models

    def encode(self, source: tf.Tensor) -> tuple[list[Any], tf.Tensor]:
        """Encodes the source with each model; returns all encodings and the mask of the source."""
        results = [model.encode(source, training=False) for model in self.models]
        return [encoded for encoded, _ in results], results[0][1]

    def start(self, encoded: list[Any], beams: int, max_length: int) -> list[Any]:
        """Returns empty caches of each model."""
        return [model.start(own, beams, max_length) for model, own in zip(self.models, encoded, strict=True)]

    def grow(self, caches: list[Any], beams: int, max_length: int) -> list[Any]:
        """Extends the caches of each model."""
        return [model.grow(own, beams, max_length) for model, own in zip(self.models, caches, strict=True)]

    def step(self, tokens, caches, position, ancestry, source_mask) -> tuple[tf.Tensor, list[Any], tf.Tensor]:
        """Returns log probabilities <float32>[batch, beams, vocabulary], new caches and attention weights."""
        results = [
            model.step(tokens, own, position, ancestry, source_mask)
            for model, own in zip(self.models, caches, strict=True)
        ]
        each = [tf.nn.log_softmax(tf.cast(logits, tf.float32)) for logits, _, _ in results]
        joint = (
            each[0] if len(each) == 1 else tf.reduce_logsumexp(each, axis=0) - tf.math.log(float(len(each)))
        )
        attention_weights = tf.add_n([weights for _, _, weights in results]) / len(results)
        return joint, [cache for _, cache, _ in results], attention_weights


def most_likely(log_probabilities: tf.Tensor, position: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Selects the most likely token (greedy search)."""
    return tf.argmax(log_probabilities, axis=-1, output_type=tf.int32)


class Sampler:
    """Samples the next token.

    What is drawn for a source depends on the seed and its number, not on the sources beside it.

    Args:
        seed: random seed, 0 or more.
        temperature: divides the logits, above 0; below 1 makes likely tokens more likely.
        top_k: sample from this many of the most likely tokens, 1 or more; None for all.
        top_p: sample from the smallest set of most likely tokens whose total probability reaches this, in
            (0, 1] (nucleus sampling).
        numbers: <int32>[sources], a number of each source; None for its place.

    Raises:
        ValueError: an argument out of range.

    Reference: top_p: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751

    Examples:
        >>> log_probabilities = tf.math.log([[[0.1, 0.7, 0.2]]])  # [batch, beams, vocabulary]
        >>> Sampler(seed=1, top_p=0.5)(log_probabilities, tf.constant(0), tf.constant([0])).numpy().tolist()
        [[1]]
    """

    def __init__(
        self,
        seed: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        numbers: tf.Tensor | None = None,
    ) -> None:
        if temperature <= 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
            raise ValueError(
                "`temperature` must be above 0, `top_k` at least 1 and `top_p` in (0, 1]. Received: "
                f"temperature={temperature}, top_k={top_k}, top_p={top_p}"
            )
        self.seed, self.temperature, self.top_k, self.top_p = seed, temperature, top_k, top_p
        self.numbers = numbers

    def __call__(self, log_probabilities: tf.Tensor, position: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Returns tokens <int32>[batch, beams] sampled from <float32>[batch, beams, vocabulary]."""
        vocabulary = log_probabilities.shape[-1]
        count = min(self.top_k or vocabulary, vocabulary)
        values, ids = tf.math.top_k(log_probabilities / self.temperature, count)  # most likely first
        values = tf.nn.log_softmax(values)
        if self.top_p < 1:
            before = tf.cumsum(tf.exp(values), axis=-1, exclusive=True)
            values = tf.where(before < self.top_p, values, MINUS_INFINITY)
        uniform = self._uniform(position, places, ids)
        sampled = tf.argmax(values - tf.math.log(-tf.math.log(uniform)), axis=-1)  # Gumbel-max trick
        return tf.cast(tf.gather(ids, sampled[..., None], batch_dims=2)[..., 0], tf.int32)

    def _uniform(self, position: tf.Tensor, places: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Returns a number in (0, 1) for each of the tokens <int32>[batch, beams, tokens], by a hash."""
        numbers = places if self.numbers is None else tf.gather(self.numbers, places)
        bits = fold_in(hash_key(make_rng_key(self.seed)), position)
        bits = fold_in(bits, numbers)[:, None]  # [batch, 1]
        bits = fold_in(bits, tf.range(tf.shape(ids)[1]))[..., None]  # [batch, beams, 1]
        bits = tf.bitwise.right_shift(fold_in(bits, ids), tf.constant(9, tf.uint32))
        return (tf.cast(bits, tf.float32) + 0.5) * 2.0**-23  # 23 bits: neither 0 nor 1 when rounded


def generate(
    models: Sequence[Decoder],
    source: tf.Tensor,
    max_length: int | tf.Tensor,
    select: Select = most_likely,
    count: int = 1,
    constraints: Constraints = UNCONSTRAINED,
    prefix: tf.Tensor | None = None,
) -> DecoderOutput:
    """Generates target sequences token by token until all have ended.

    Args:
        models: one model, or several for an ensemble.
        source: <int32>[batch, source], 0 is padding.
        max_length: maximum number of target tokens, END included; <int32>[] if the width of the source is not
            static.
        select: selects the next tokens, such as `most_likely` or a `Sampler`.
        count: number of targets of each source, 1 or more; more than 1 is useful with a `Sampler`.
        constraints: which targets may be generated.
        prefix: forced beginning of the targets of each source, <int32>[batch, prefix], padded with 0.

    Returns:
        `count` targets of each source, unordered; their score is their log probability.

    Examples:
        >>> from attnzoo.layers.encoder_decoder import EncoderDecoder
        >>> options = {"num_encoder_layers": 1, "num_decoder_layers": 1, "feed_forward_units": 16}
        >>> model = EncoderDecoder(11, 13, units=8, attention={"name": "additive"}, **options)
        >>> source = tf.constant([[5, 6, 7, 0]])
        >>> _ = model({"source": source, "target": source})  # creates the variables
        >>> generate([model], source, max_length=3).tokens.shape
        TensorShape([1, 1, 3])
    """
    max_length = constraints.padded_length(source, max_length, prefix)
    ensemble = Ensemble(models)
    batch, source_length = tf.shape(source)[0], tf.shape(source)[1]
    encoded, source_mask = ensemble.encode(source)
    limits = constraints.limits(source_mask, max_length, prefix)[:, None]

    def advance(position: tf.Tensor, state: decoding_loop.State) -> decoding_loop.State:
        (total, tokens, alignment), carry = state.results, state.carry
        token, places, source_mask, limits, own = carry
        finished = (token == END) | (token == PADDING)
        log_probabilities, caches, weights = ensemble.step(token, state.caches, position, None, source_mask)
        allowed = constraints.apply(log_probabilities, tokens, position, *own)
        selected = select(allowed, position, places)
        token = tf.where(position + 1 >= limits, END, selected)
        log_probability = tf.gather(log_probabilities, token[..., None], batch_dims=2)[..., 0]
        token = tf.where(finished, PADDING, token)
        total += tf.where(finished, 0.0, log_probability)
        weights = tf.where(finished[..., None], 0.0, weights)
        at_position = tf.range(max_length) == position  # [max_length]
        tokens = tf.where(at_position, token[..., None], tokens)
        alignment = tf.where(at_position[:, None], weights[..., None, :], alignment)
        done = tf.reduce_all(finished | (token == END), axis=1)
        carry = (token, places, source_mask, limits, own)
        return decoding_loop.State(done, (total, tokens, alignment), carry, caches)

    plan = decoding_loop.plan(source, max_length)
    total = tf.zeros([batch, count])
    tokens = tf.zeros([batch, count, max_length], tf.int32)
    alignment = tf.zeros([batch, count, max_length, source_length])
    token, own = tf.fill([batch, count], START), () if prefix is None else (prefix,)
    start = decoding_loop.State(
        tf.fill([batch], False),
        (total, tokens, alignment),
        (token, tf.range(batch), source_mask, limits, own),
        ensemble.start(encoded, count, plan.short),
    )
    total, tokens, alignment = decoding_loop.run(
        advance, start, plan, lambda caches, length: ensemble.grow(caches, count, length)
    )
    return DecoderOutput(tokens, total, total, alignment)
