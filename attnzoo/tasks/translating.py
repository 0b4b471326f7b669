"""Decoding of batches and splits, and the same as an export, as the options of a run specify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline
from attnzoo.features.info import DataInfo
from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.constraints import Constraints
from attnzoo.layers.decoding import Decoder, DecoderOutput, generate
from attnzoo.tasks.serving import ServingModule
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.translation_texts import TranslationDetokenizer
from attnzoo.tasks.types import PredictFn


def decode(
    models: Sequence[Decoder],
    source: tf.Tensor,
    info: DataInfo,
    options: TranslationEvalOptions,
    count: int = 1,
    prefix: tf.Tensor | None = None,
) -> DecoderOutput:
    """Translates <int32>[batch, source] greedily or by beam search, as the options specify.

    Args:
        models: one model, or an ensemble.
        source: <int32>[batch, source], 0 is padding.
        info: what is known about the data; limits the number of target tokens.
        options: the eval section.
        count: translations per source, at most `options.beams`.
        prefix: forced beginning of each translation, <int32>[batch, prefix], padded with 0; None without.
    """
    max_length, constraints = max_target_tokens(info, source), constraints_of(options)
    if options.beams == 1:
        return generate(models, source, max_length, constraints=constraints, prefix=prefix)
    ranking = Ranking(options.length_penalty, options.length_penalty_kind, options.coverage_penalty)
    return beam_search(models, source, max_length, options.beams, ranking, count, constraints, prefix)


def constraints_of(options: TranslationEvalOptions) -> Constraints:
    """Returns which translations the options allow."""
    return Constraints(
        options.length_ratio, options.unknown == "copy", options.min_length, options.no_repeat_ngram
    )


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

    return lambda inputs: translate_ids(info.model_inputs(inputs)["source"])


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
