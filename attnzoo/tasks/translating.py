"""Decoding of batches, splits and raw texts, as the options of a run specify."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline, token_batches
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.decoding import Decoder, DecoderOutput, Sampler, generate
from attnzoo.special_tokens import END, PADDING
from attnzoo.tasks.serving import ServingModule
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.translation_texts import TranslationDetokenizer
from attnzoo.tasks.types import PredictFn, Predictor, Request


def decode(
    models: Sequence[Decoder],
    source: tf.Tensor,
    info: DataInfo,
    options: TranslationEvalOptions,
    count: int = 1,
) -> DecoderOutput:
    """Translates <int32>[batch, source] greedily or by beam search, as the options specify.

    Args:
        models: one model, or an ensemble.
        source: <int32>[batch, source], 0 is padding.
        info: what is known about the data; limits the number of target tokens.
        options: the eval section.
        count: translations per source, at most `options.beams`.
    """
    max_length = max_target_tokens(info, source)
    limits: dict[str, Any] = {"length_ratio": options.length_ratio, "unknown": options.unknown == "copy"}
    if options.beams == 1:
        return generate(models, source, max_length, **limits)
    ranking = Ranking(options.length_penalty, options.length_penalty_kind, options.coverage_penalty)
    return beam_search(models, source, max_length, options.beams, ranking, count, **limits)


def max_target_tokens(info: DataInfo, source: tf.Tensor) -> int | tf.Tensor:
    """Returns the maximum number of target tokens for sources <int32>[batch, source].

    For sources no longer than those in training it is the length of the longest target in training; for
    longer ones it grows. It is <int32>[] if the width of `source` is only known when the graph runs.
    """
    lengths = info.lengths[len(info.buckets) - 1 :]
    width = source.shape[1]
    if len(lengths) == 1:
        return lengths[0]["target"]
    if width is None:
        sources, targets = (tf.constant([one[name] for one in lengths]) for name in ("source", "target"))
        shorter = tf.math.count_nonzero(sources < tf.shape(source)[1], dtype=tf.int32)
        return tf.gather(targets, tf.minimum(shorter, len(lengths) - 1))
    return next((one["target"] for one in lengths if one["source"] >= width), lengths[-1]["target"])


def predict_fn(
    models: Sequence[keras.Model], info: DataInfo, options: TranslationEvalOptions, xla: bool
) -> PredictFn:
    """Returns a function from inputs to the output of `decode`, with one translation each."""

    @tf.function(input_signature=source_signature(xla), jit_compile=xla, autograph=False)
    def translate_ids(source):
        return decode(models, source, info, options)

    return lambda inputs: translate_ids(inputs["source"])


def request_fn(
    models: Sequence[keras.Model], info: DataInfo, options: TranslationEvalOptions, request: Request
) -> Callable[[tf.Tensor, tf.Tensor], DecoderOutput]:
    """Returns a function from sources <int32>[batch, source] and a seed <int32>[] to translations."""
    xla = bool(request.xla)
    signature = source_signature(xla, tf.TensorSpec([], tf.int32))

    @tf.function(input_signature=signature, jit_compile=xla, autograph=False)
    def run(ids, seed):
        if not request.sample:
            return decode(models, ids, info, options, request.count)
        sampler = Sampler(seed, request.temperature, request.top_k, request.top_p)
        copy_unknown = options.unknown == "copy"
        max_length = max_target_tokens(info, ids)
        return generate(models, ids, max_length, sampler, request.count, options.length_ratio, copy_unknown)

    return run


def predictor(
    models: Sequence[keras.Model], info: DataInfo, options: TranslationEvalOptions, request: Request
) -> Predictor:
    """Returns a function from texts to one answer each, see `Translation.predictor`.

    Raises:
        UserError: more translations per text are requested than a search has beams.
    """
    if request.beams is not None:
        options = options.model_copy(update={"beams": request.beams})
    if not request.sample and request.count > options.beams:
        raise UserError(
            f"--count {request.count}: a search with {options.beams} beam(s) returns at most "
            f"{options.beams} translation(s); add --beams {request.count}, or --sample."
        )
    run = request_fn(models, info, options, request)
    detokenizer = TranslationDetokenizer(info)
    lengths, seeds = token_batches.padding_lengths(info, "source"), itertools.count(request.seed)

    def translate(batch: tuple[list[int], tf.Tensor, int]) -> tuple[list[int], Any]:
        chosen, ids, seed = batch
        return chosen, run(ids, tf.constant(seed % 2**31))

    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = token_batches.encode(detokenizer.source, texts, [END])
        answers: list[dict[str, Any]] = [{} for _ in texts]
        limit = lengths[-1]
        inputs = [np.concatenate([row[: limit - 1], [END]]) if len(row) > limit else row for row in rows]
        batches = ((*batch, next(seeds)) for batch in token_batches.batch_by_length(inputs, lengths))
        for chosen, outputs in token_batches.run_concurrently(translate, batches):
            ids = tf.reshape(outputs.tokens, [-1, outputs.tokens.shape[-1]])
            alignment = tf.reshape(outputs.alignment, [tf.shape(ids)[0], *outputs.alignment.shape[2:]])
            raw = [texts[index].encode("utf-8") for index in chosen for _ in range(request.count)]
            raw += [b""] * (len(ids) - len(raw))  # rows that pad the batch
            decoded = detokenizer(ids, alignment, tf.constant(raw)).numpy()
            translations = [text.decode("utf-8") for text in decoded]
            values = zip(outputs.hypothesis_scores.numpy(), outputs.log_probabilities.numpy(), strict=True)
            for row, (index, (scores, log_probabilities)) in enumerate(zip(chosen, values, strict=False)):
                candidates = translations[row * request.count : (row + 1) * request.count]
                ranked = _ranked(candidates, scores, log_probabilities)
                if len(rows[index]) == 1:
                    ranked = [{"translation": "", "score": 0.0, "log_probability": 0.0}]
                notes = token_batches.length_notes(info, "source", len(rows[index]))
                answers[index] = {**ranked[0], **notes}
                if request.count > 1:
                    answers[index]["translations"] = ranked
        return answers

    return answer


def _ranked(texts: Sequence[str], scores: np.ndarray, log_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Returns the translations of one source, best first; samples arrive unordered."""
    candidates = [
        {"translation": text, "score": float(score), "log_probability": float(log_probability)}
        for text, score, log_probability in zip(texts, scores, log_probabilities, strict=True)
        if np.isfinite(score)
    ]
    return sorted(candidates, key=lambda candidate: candidate["score"], reverse=True)


def source_signature(xla: bool, *others: tf.TensorSpec) -> list[tf.TensorSpec] | None:
    """Returns the input signature of a function; None with XLA, which compiles for each shape anyway."""
    return None if xla else [tf.TensorSpec([None, None], tf.int32), *others]


def translate(
    predict: PredictFn,
    batches: Iterable[pipeline.Batch],
    sources: np.ndarray,
    info: DataInfo,
    map_fn: Callable[[Callable, Iterable], Iterator] = map,
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Translates the batches of a split.

    Args:
        predict: returns the translations of a batch.
        batches: batches of the split.
        sources: <object>[examples], the source texts of the split.
        info: what is known about the data.
        map_fn: applies a function to each batch, as `map` does.

    Yields:
        index of the example, best translation, its tokens <int32>[time] and the attention of each token
        <float32>[time, source].
    """
    detokenizer = TranslationDetokenizer(info)

    def run(batch: pipeline.Batch) -> tuple[dict[str, tf.Tensor], DecoderOutput]:
        inputs, targets = batch
        return targets, predict(inputs)

    for targets, output in map_fn(run, batches):
        real = int(tf.math.count_nonzero(targets["weights"]))
        tokens, alignment = output.tokens[:real, 0], output.alignment[:real, 0]
        indices = targets["indices"].numpy()[:real].tolist()
        raw = tf.constant([sources[index].encode("utf-8") for index in indices], tf.string)
        texts = [text.decode("utf-8") for text in detokenizer(tokens, alignment, raw).numpy()]
        yield from zip(indices, texts, tokens.numpy(), alignment.numpy(), strict=True)


def log_probability_fn(model: keras.Model) -> Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]:
    """Returns a function from inputs and targets <int32>[batch, target] to <float32>[batch], nats."""

    @tf.function(autograph=False)
    def run(inputs, tokens):
        log_probabilities = tf.nn.log_softmax(model(inputs, training=False))
        log_probabilities = tf.gather(log_probabilities, tokens[..., None], batch_dims=2)[..., 0]
        return tf.reduce_sum(tf.where(tokens == PADDING, 0.0, log_probabilities), axis=1)

    return run


def serving_module(model: keras.Model, info: DataInfo, options: TranslationEvalOptions) -> ServingModule:
    """Returns the export of a translation model, with two signatures that take `source` <string>[batch].

    Texts of more than `DataInfo.longest` tokens are truncated. `serving_default` returns `translation`
    <string>[batch] and `score` <float32>[batch], the hypothesis score of the search. `alignment` returns
    `translation`, the ids of `source_tokens` <int32>[batch, source] and `target_tokens` <int32>[batch,
    target], each with END and then padding, and `alignment` <float32>[batch, target, source], the attention
    of each target token.
    """
    reader = info.features["source"].raw_reader(info.longest("source"))
    detokenizer = TranslationDetokenizer(info)

    def translate(source: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = decode([model], reader.read(source), info, options)
        texts = detokenizer(outputs.tokens[:, 0], outputs.alignment[:, 0], source)
        return {"translation": texts, "score": outputs.hypothesis_scores[:, 0]}

    def align(source: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = reader.read(source)
        outputs = decode([model], ids, info, options)
        tokens = outputs.tokens[:, 0]
        return {
            "translation": detokenizer(tokens, outputs.alignment[:, 0], source),
            "source_tokens": ids,
            "target_tokens": tokens,
            "alignment": outputs.alignment[:, 0],
        }

    functions = {"serving_default": translate, "alignment": align}
    return ServingModule(functions, "source", [model, detokenizer, *reader.resources])
