"""Text in, text out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import pipeline, tokenizers
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import END, PADDING, DataInfo
from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.decoding import Decoder, Sampler, Translations, write
from attnzoo.layers.sequence_to_sequence import SequenceToSequence
from attnzoo.layers.vocabulary_loss import vocabulary_loss
from attnzoo.tasks import answers, scoring, translation_scores
from attnzoo.tasks.answers import Request

MONITOR = "loss"
HIGHER_IS_BETTER = False
COUNTED = "tokens"

LEAST_ATTENTION = 1e-9
"""Attention to a source token that is told from none."""

Answer = dict[str, Any]
Predict = Callable[[dict[str, tf.Tensor]], Translations]


def sums(
    model: SequenceToSequence,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
    r_drop: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Cross entropy (nats a target token) and the share of tokens predicted right, given those before.

    The logits of a batch are never all in memory. With alignments the loss has the cross entropy of the
    attention to them in it, which `alignment_loss` gives alone, without its weight (nats an aligned token).

    Args:
        model: an encoder-decoder.
        inputs: `source` and `target`.
        targets: `tokens` <int32>[batch, time] (0 is padding), `weights` <float32>[batch], and `alignment`
            <float32>[batch, time, source] where attention is guided, see `pipeline.batches`.
        training: whether dropout is on.
        label_smoothing: see `scoring.smoothed_cross_entropy`.
        r_drop: weight of `divergence` (nats a pair) in the loss; above 0 the batch is two equal halves.

    Reference: guided alignment: Chen et al. 2016, https://arxiv.org/abs/1607.01628
    """
    tokens, guide = targets["tokens"], targets.get("alignment")
    weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
    hidden, attention = model.decode_all(inputs, training, with_alignment=guide is not None)
    hidden, table = model.factors(hidden)
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
    labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
    found = scoring.token_sums(
        vocabulary_loss(rows, table, labels, row_weights, label_smoothing, r_drop), row_weights, r_drop
    )
    if guide is not None:
        guide = guide * targets["weights"][:, None, None]
        missed = -tf.reduce_sum(guide * tf.math.log(tf.maximum(attention, LEAST_ATTENTION)))
        found["loss"] += tf.stack([missed, 0.0])
        found["alignment_loss"] = tf.stack([missed, tf.reduce_sum(guide)])
    return found


def decode(
    models: Sequence[Decoder], source: tf.Tensor, max_length: int, options: EvalOptions, count: int = 1
) -> Translations:
    """Translates <int32>[batch, source] as the options say: greedily or by beam search.

    Args:
        models: one, or an ensemble.
        source: <int32>[batch, source], 0 is padding.
        max_length: most target tokens.
        options: the eval section.
        count: translations of each source, at most `options.beams`.
    """
    if options.beams == 1:
        return write(models, source, max_length, length_ratio=options.length_ratio)
    ranking = Ranking(options.length_penalty, options.length_penalty_kind, options.coverage_penalty)
    return beam_search(models, source, max_length, options.beams, ranking, count, options.length_ratio)


def predictor(models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, xla: bool) -> Predict:
    """Returns a function from inputs to what `decode` gives, one translation each."""
    max_length = info.buckets[-1]["target"]

    @tf.function(input_signature=_source_signature(xla), jit_compile=xla, autograph=False)
    def translate_ids(source):
        return decode(models, source, max_length, options)

    return lambda inputs: translate_ids(inputs["source"])


def _source_signature(xla: bool, *others: tf.TensorSpec) -> list[tf.TensorSpec] | None:
    """Returns what a function takes: XLA compiles for each shape, without it one trace serves all."""
    return None if xla else [tf.TensorSpec([None, None], tf.int32), *others]


def translate(
    predict: Predict,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    of_batches: Callable[[Callable, Iterable], Iterator] = map,
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Translates a split, batch by batch with `map` or what `of_batches` is instead.

    Yields:
        index of the example, best translation, its tokens <int32>[time] and where each token attended
        <float32>[time, source].
    """
    tokenizer = tokenizers.from_state(info.tokenizers["target"])

    def found_of(batch: pipeline.Batch) -> tuple[dict[str, tf.Tensor], Translations]:
        inputs, targets = batch
        return targets, predict(inputs)

    batches = pipeline.batches(examples, info, pipeline.evaluation_plans(examples, info, sizes))
    for targets, found in of_batches(found_of, batches):
        real = int(tf.math.count_nonzero(targets["weights"]))
        tokens, alignment = found.tokens[:real, 0], found.alignment[:real, 0]
        texts = [text.decode("utf-8") for text in tokenizer.decode(tokens).numpy()]
        indices = targets["indices"].numpy()[:real].tolist()
        yield from zip(indices, texts, tokens.numpy(), alignment.numpy(), strict=True)


def predictions(predict: Predict, examples: Examples, info: DataInfo, sizes: BatchSizes) -> list[str]:
    """Returns the best translation of every example, in the order of the split."""
    found = translate(predict, examples, info, sizes, answers.side_by_side)
    by_index = {index: text for index, text, _, _ in found}
    return [by_index[index] for index in range(len(examples))]


def corpus_metrics(
    found: list[str],
    examples: Examples,
    info: DataInfo,
    options: EvalOptions,
    temperature: float | None = None,
) -> dict[str, float | str]:
    """What `translation_scores.scores` gives of the translations of a split."""
    return translation_scores.scores(found, list(examples.raw.columns["target"]), options)


def rows(
    predict: Predict, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` sources with their reference and translation."""
    columns = examples.raw.columns
    first = itertools.islice(translate(predict, examples, info, sizes), count)
    return [
        {"source": columns["source"][index], "reference": columns["target"][index], "output": text}
        for index, text, _, _ in first
    ]


def answerer(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, request: Request
) -> Callable[[Sequence[str]], list[Answer]]:
    """Returns a function from texts to an answer each.

    An answer has `translation`, `score` (what a search ranks by) and `log_probability` (nats) of the best,
    `translations` (all of them, with the same keys) if more than one is asked for, and `cut`: whether the
    text was longer than the longest bucket. A text without a token has an empty translation.
    """
    source, target = (tokenizers.from_state(info.tokenizers[name]) for name in ("source", "target"))
    lengths, max_length = answers.lengths_of(info, "source"), info.buckets[-1]["target"]

    xla = bool(request.xla)

    @tf.function(
        input_signature=_source_signature(xla, tf.TensorSpec([], tf.int32)), jit_compile=xla, autograph=False
    )
    def run(ids, seed):
        if not request.sample:
            return decode(models, ids, max_length, options, request.count)
        sampler = Sampler(seed, request.temperature, request.top_k, request.top_p)
        return write(models, ids, max_length, sampler, request.count, options.length_ratio)

    seeds = itertools.count(request.seed)

    def found_of(batch: tuple[list[int], tf.Tensor, int]) -> tuple[list[int], Translations]:
        chosen, ids, seed = batch
        return chosen, run(ids, tf.constant(seed % 2**31))

    def answer(texts: Sequence[str]) -> list[Answer]:
        rows = answers.encode(source, texts, [END])
        given: list[Answer] = [{} for _ in texts]
        most = lengths[-1]
        cut = [np.concatenate([row[: most - 1], [END]]) if len(row) > most else row for row in rows]
        batches = ((*batch, next(seeds)) for batch in answers.in_batches(cut, lengths))
        for chosen, found in answers.side_by_side(found_of, batches):
            ids = tf.reshape(found.tokens, [-1, found.tokens.shape[-1]])
            texts_found = [text.decode("utf-8") for text in target.decode(ids).numpy()]
            values = zip(found.scores.numpy(), found.log_probabilities.numpy(), strict=True)
            for place, (index, (scores, totals)) in enumerate(zip(chosen, values, strict=False)):
                every = [
                    {
                        "translation": texts_found[place * request.count + number],
                        "score": float(scores[number]),
                        "log_probability": float(totals[number]),
                    }
                    for number in range(request.count)
                    if np.isfinite(scores[number])
                ]
                every.sort(key=lambda one: one["score"], reverse=True)  # draws come in no order
                if len(rows[index]) == 1:
                    every = [{"translation": "", "score": 0.0, "log_probability": 0.0}]
                given[index] = {**every[0], "cut": len(rows[index]) > most}
                if request.count > 1:
                    given[index]["translations"] = every
        return given

    return answer


def log_probabilities(
    model: SequenceToSequence, examples: Examples, info: DataInfo, sizes: BatchSizes
) -> Iterator[tuple[int, float, int]]:
    """Yields index, log probability of the target given the source (nats), and its tokens with END."""

    @tf.function(autograph=False)
    def run(inputs, tokens):
        steps = tf.nn.log_softmax(model(inputs, training=False))
        steps = tf.gather(steps, tokens[..., None], batch_dims=2)[..., 0]  # [batch, target]
        return tf.reduce_sum(tf.where(tokens == PADDING, 0.0, steps), axis=1)

    for inputs, targets in pipeline.batches(examples, info, pipeline.evaluation_plans(examples, info, sizes)):
        real = int(tf.math.count_nonzero(targets["weights"]))
        totals = run(inputs, targets["tokens"]).numpy()[:real]
        counts = tf.math.count_nonzero(targets["tokens"], axis=1).numpy()[:real]
        indices = targets["indices"].numpy()[:real]
        yield from zip(map(int, indices), map(float, totals), map(int, counts), strict=True)


class Serving(tf.Module):
    """Raw strings in, translations out."""

    def __init__(self, model: keras.Model, info: DataInfo, options: EvalOptions) -> None:
        super().__init__()
        self.model, self.options = model, options
        self.source = tokenizers.from_state(info.tokenizers["source"])
        self.target = tokenizers.from_state(info.tokenizers["target"])
        self.source_length = info.buckets[-1]["source"]
        self.target_length = info.buckets[-1]["target"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def translate(self, source):
        """Translates `source` <string>[batch]; longer texts than the longest bucket are cut.

        Returns:
            `translation` <string>[batch] and its `score` <float32>[batch], by which a search ranks.
        """
        found = self._decode(self._encode(source))
        return {"translation": self.target.decode(found.tokens[:, 0]), "score": found.scores[:, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def align(self, source):
        """Translates `source` <string>[batch] and says where each token of the translation attended.

        Returns:
            `translation` <string>[batch], the ids of `source_tokens` <int32>[batch, source] and
            `target_tokens` <int32>[batch, target], each with END and then padding, and `alignment`
            <float32>[batch, target, source].
        """
        ids = self._encode(source)
        found = self._decode(ids)
        tokens = found.tokens[:, 0]
        return {
            "translation": self.target.decode(tokens),
            "source_tokens": ids,
            "target_tokens": tokens,
            "alignment": found.alignment[:, 0],
        }

    def _encode(self, source: tf.Tensor) -> tf.Tensor:
        ids = self.source.encode(source)[:, : self.source_length - 1]
        rows = tf.pad(ids.to_tensor(PADDING), [[0, 0], [0, 1]])
        lengths = tf.cast(ids.row_lengths(), tf.int32)[:, None]
        return tf.where(tf.range(tf.shape(rows)[1]) == lengths, END, rows)

    def _decode(self, ids: tf.Tensor) -> Translations:
        return decode([self.model], ids, self.target_length, self.options)

    def signatures(self) -> dict:
        """Returns signature name -> function."""
        return {"serving_default": self.translate, "alignment": self.align}


def serving(model: keras.Model, info: DataInfo, options: EvalOptions) -> Serving:
    """Returns the module to export."""
    return Serving(model, info, options)
