"""Translations of batches and splits, as the options of a run say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline
from attnzoo.features.info import DataInfo
from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.decoding import Decoder, DecoderOutput, Sampler, generate
from attnzoo.special_tokens import PADDING
from attnzoo.tasks.serving import ServingModule
from attnzoo.tasks.task import PredictFn, Request
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.translation_writing import Writer


def decode(
    models: Sequence[Decoder],
    source: tf.Tensor,
    info: DataInfo,
    options: TranslationEvalOptions,
    count: int = 1,
) -> DecoderOutput:
    """Translates <int32>[batch, source] as the options say: greedily or by beam search.

    Args:
        models: one, or an ensemble.
        source: <int32>[batch, source], 0 is padding.
        info: gives the most target tokens.
        options: the eval section.
        count: translations of each source, at most `options.beams`.
    """
    max_length = most_tokens(info, source)
    limits: dict[str, Any] = {"length_ratio": options.length_ratio, "unknown": options.unknown == "copy"}
    if options.beams == 1:
        return generate(models, source, max_length, **limits)
    ranking = Ranking(options.length_penalty, options.length_penalty_kind, options.coverage_penalty)
    return beam_search(models, source, max_length, options.beams, ranking, count, **limits)


def most_tokens(info: DataInfo, source: tf.Tensor) -> int | tf.Tensor:
    """Returns the most tokens of translations of sources <int32>[batch, source].

    Sources as long as those of training are translated with as many tokens as targets of training had; longer
    ones with more. <int32>[] where the width is known to the running program only.
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
    """Returns a function from inputs to what `decode` gives, one translation each."""

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
        copies = options.unknown == "copy"
        max_length = most_tokens(info, ids)
        return generate(models, ids, max_length, sampler, request.count, options.length_ratio, copies)

    return run


def source_signature(xla: bool, *others: tf.TensorSpec) -> list[tf.TensorSpec] | None:
    """Returns what a function takes: XLA compiles for each shape, without it one trace serves all."""
    return None if xla else [tf.TensorSpec([None, None], tf.int32), *others]


def translate(
    predict: PredictFn,
    batches: Iterable[pipeline.Batch],
    sources: np.ndarray,
    info: DataInfo,
    of_batches: Callable[[Callable, Iterable], Iterator] = map,
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Translates the batches of a split, with `map` or what `of_batches` is instead.

    Args:
        predict: gives the translations of a batch.
        batches: of the split.
        sources: <object>[examples], the texts of the split.
        info: what is known of the data.
        of_batches: applies a function to each.

    Yields:
        index of the example, best translation, its tokens <int32>[time] and where each token attended
        <float32>[time, source].
    """
    writer = Writer(info)

    def run(batch: pipeline.Batch) -> tuple[dict[str, tf.Tensor], DecoderOutput]:
        inputs, targets = batch
        return targets, predict(inputs)

    for targets, output in of_batches(run, batches):
        real = int(tf.math.count_nonzero(targets["weights"]))
        tokens, alignment = output.tokens[:real, 0], output.alignment[:real, 0]
        indices = targets["indices"].numpy()[:real].tolist()
        raw = tf.constant([sources[index].encode("utf-8") for index in indices], tf.string)
        texts = [text.decode("utf-8") for text in writer(tokens, alignment, raw).numpy()]
        yield from zip(indices, texts, tokens.numpy(), alignment.numpy(), strict=True)


def log_probability_fn(model: keras.Model) -> Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]:
    """Returns a function from inputs and targets <int32>[batch, target] to <float32>[batch], nats."""

    @tf.function(autograph=False)
    def run(inputs, tokens):
        steps = tf.nn.log_softmax(model(inputs, training=False))
        steps = tf.gather(steps, tokens[..., None], batch_dims=2)[..., 0]  # [batch, target]
        return tf.reduce_sum(tf.where(tokens == PADDING, 0.0, steps), axis=1)

    return run


def serving_module(model: keras.Model, info: DataInfo, options: TranslationEvalOptions) -> ServingModule:
    """Returns an export of a translator, with two signatures that take `source` <string>[batch].

    Texts of more than `DataInfo.longest` tokens are truncated. `serving_default` gives `translation`
    <string>[batch] and its `score` <float32>[batch], by which a search ranks. `alignment` gives
    `translation`, the ids of `source_tokens` <int32>[batch, source] and `target_tokens` <int32>[batch,
    target], each with END and then padding, and where each token attended, `alignment` <float32>[batch,
    target, source].
    """
    reader = info.features["source"].raw_reader(info.longest("source"))
    writer = Writer(info)

    def translate(source: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = decode([model], reader.read(source), info, options)
        texts = writer(outputs.tokens[:, 0], outputs.alignment[:, 0], source)
        return {"translation": texts, "score": outputs.hypothesis_scores[:, 0]}

    def align(source: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = reader.read(source)
        outputs = decode([model], ids, info, options)
        tokens = outputs.tokens[:, 0]
        return {
            "translation": writer(tokens, outputs.alignment[:, 0], source),
            "source_tokens": ids,
            "target_tokens": tokens,
            "alignment": outputs.alignment[:, 0],
        }

    functions = {"serving_default": translate, "alignment": align}
    return ServingModule(functions, "source", [model, writer, *reader.resources])
