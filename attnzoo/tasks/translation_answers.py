"""Translations of raw texts, with scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import token_batches
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.layers.decoding import DecoderOutput, Sampler, generate
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import join_names
from attnzoo.special_tokens import END, PADDING, UNKNOWN
from attnzoo.tasks import translating
from attnzoo.tasks.translation_options import TranslationEvalOptions, count_problem
from attnzoo.tasks.translation_texts import TranslationDetokenizer
from attnzoo.tasks.types import Request

KEYS = ("translation", "score", "log_probability")
"""Keys of a hypothesis."""


def request_fn(
    models: Sequence[keras.Model], info: DataInfo, options: TranslationEvalOptions, request: Request
) -> Callable[..., DecoderOutput]:
    """Returns a function from sources <int32>[batch, source] and numbers <int32>[batch] to translations.

    Samples depend on the number of their source. If the request has prefixes, the function also takes these,
    <int32>[batch, prefix].
    """

    def run(ids: tf.Tensor, numbers: tf.Tensor, prefix: tf.Tensor | None) -> DecoderOutput:
        if not request.sample:
            return translating.decode(models, ids, info, options, request.count, prefix)
        sampler = Sampler(request.seed, request.temperature, request.top_k, request.top_p, numbers)
        max_length, constraints = (
            translating.max_target_tokens(info, ids),
            translating.constraints_of(options),
        )
        return generate(models, ids, max_length, sampler, request.count, constraints, prefix)

    xla = bool(request.xla)
    others = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    if request.has_prefixes:
        signature = translating.source_signature(xla, *others)
        return tf.function(run, input_signature=signature, jit_compile=xla, autograph=False)
    signature = translating.source_signature(xla, *others[:1])
    return tf.function(
        lambda ids, numbers: run(ids, numbers, None),
        input_signature=signature,
        jit_compile=xla,
        autograph=False,
    )


class TranslationPredictor:
    """Translates raw texts, see `Translation.predictor`.

    Args:
        models: one model, or an ensemble.
        info: what is known about the data.
        options: the eval section.
        request: options of the prediction.

    Raises:
        UserError: more translations per text are requested than a search has beams.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        info: DataInfo,
        options: TranslationEvalOptions,
        request: Request,
    ) -> None:
        if (problem := count_problem(options, request)) is not None:
            raise UserError(f"{problem}.")
        if request.beams is not None:
            options = options.model_copy(update={"beams": request.beams})
        self.info, self.request = info, request
        self.run = request_fn(models, info, options, request)
        self.detokenizer = TranslationDetokenizer(info)
        self.lengths = token_batches.padding_lengths(info, "source")

    def __call__(
        self, texts: Sequence[str], prefixes: Sequence[str] = (), numbers: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Returns an answer for each text.

        Args:
            texts: the sources.
            prefixes: the beginning of each translation, if the request has prefixes.
            numbers: a number of each text, on which and the seed its samples depend; None for its place.

        Raises:
            BadRecord: a prefix is longer than translations can be, or has a word that none has.
        """
        rows = token_batches.encode(self.detokenizer.source, texts, [END])
        starts = self._encode_prefixes(prefixes)
        limit = self.lengths[-1]
        inputs = [np.concatenate([row[: limit - 1], [END]]) if len(row) > limit else row for row in rows]
        batches = token_batches.batch_by_length(inputs, self.lengths)
        keys = np.arange(len(texts)) if numbers is None else np.asarray(numbers) % 2**31

        def translate(batch: tuple[list[int], tf.Tensor]) -> tuple[list[int], DecoderOutput]:
            chosen, ids = batch
            given = [_padded([starts[index] for index in chosen], len(ids))] if starts else []
            own = np.zeros(len(ids), np.int32)
            own[: len(chosen)] = keys[chosen]
            return chosen, self.run(ids, tf.constant(own), *given)

        answers: list[dict[str, Any]] = [{} for _ in texts]
        for chosen, outputs in token_batches.run_concurrently(translate, batches):
            ranked = self._ranked_texts([texts[index] for index in chosen], outputs)
            for index, hypotheses in zip(chosen, ranked, strict=True):
                if len(rows[index]) == 1:
                    hypotheses = [dict(zip(KEYS, ("", 0.0, 0.0), strict=True))]
                notes = token_batches.length_notes(self.info, "source", len(rows[index]))
                answers[index] = {**hypotheses[0], **notes}
                if self.request.count > 1:
                    answers[index]["translations"] = hypotheses
        return answers

    def _encode_prefixes(self, prefixes: Sequence[str]) -> list[np.ndarray]:
        starts = token_batches.encode(self.detokenizer.target, prefixes) if prefixes else []
        longest = self.info.lengths[len(self.info.buckets) - 1]["target"] - 1  # END is a token too
        for prefix, start in zip(prefixes, starts, strict=True):
            if UNKNOWN in start:
                words = join_names(self.detokenizer.target.unknown_words(prefix))
                raise BadRecord(
                    "prefix",
                    "with an unknown word in the prefix",
                    f"{words}: no word of the translations in training; replace it, or end the prefix before "
                    "it.",
                )
            if len(start) > longest:
                raise BadRecord(
                    "prefix",
                    "with a prefix that is too long",
                    f"{len(start)} tokens; translations have at most {longest}: shorten it.",
                )
        return starts

    def _ranked_texts(self, sources: Sequence[str], outputs: DecoderOutput) -> list[list[dict[str, Any]]]:
        """Returns the hypotheses of each source, best first."""
        count = self.request.count
        ids = tf.reshape(outputs.tokens, [-1, outputs.tokens.shape[-1]])
        alignment = tf.reshape(outputs.alignment, [tf.shape(ids)[0], *outputs.alignment.shape[2:]])
        raw = [source.encode("utf-8") for source in sources for _ in range(count)]
        raw += [b""] * (len(ids) - len(raw))  # rows that pad the batch
        decoded = self.detokenizer(ids, alignment, tf.constant(raw)).numpy()
        texts = [text.decode("utf-8") for text in decoded]
        values = zip(outputs.hypothesis_scores.numpy(), outputs.log_probabilities.numpy(), strict=True)
        return [
            _ranked(texts[row * count : (row + 1) * count], scores, log_probabilities)
            for row, (scores, log_probabilities) in enumerate(itertools.islice(values, len(sources)))
        ]


def _padded(rows: Sequence[np.ndarray], size: int) -> tf.Tensor:
    """Returns rows as <int32>[size, width], of few different widths."""
    longest = max(map(len, rows))
    batch = np.full((size, 1 << max(0, longest - 1).bit_length()), PADDING, np.int32)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
    return tf.constant(batch)


def _ranked(texts: Sequence[str], scores: np.ndarray, log_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Returns the translations of one source, best first; samples arrive unordered."""
    candidates = [
        dict(zip(KEYS, (text, float(score), float(log_probability)), strict=True))
        for text, score, log_probability in zip(texts, scores, log_probabilities, strict=True)
        if np.isfinite(score)
    ]
    return sorted(candidates, key=lambda candidate: candidate["score"], reverse=True)


def answer_table(answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Returns the columns of a table and the rows of an answer, one per hypothesis, with its `rank`."""
    notes = {key: value for key, value in answer.items() if key not in (*KEYS, "translations")}
    if "translations" not in answer:
        return [*KEYS, *notes], [[*(answer[key] for key in KEYS), *notes.values()]]
    hypotheses = answer["translations"] or [dict.fromkeys(KEYS)]
    rows = [
        [rank, *(hypothesis[key] for key in KEYS), *notes.values()]
        for rank, hypothesis in enumerate(hypotheses, 1)
    ]
    return ["rank", *KEYS, *notes], rows
