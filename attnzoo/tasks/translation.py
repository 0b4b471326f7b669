"""Text in, text out.

Imports no TensorFlow before it is asked for its work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.errors import UserError
from attnzoo.features.alignment import Alignment
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.features.references import References
from attnzoo.features.text import Text, TextOptions
from attnzoo.special_tokens import END, PADDING
from attnzoo.tasks import options as task_options
from attnzoo.tasks.task import Comparison, Fitted, Metric, PredictFn, Predictor, Request, Task
from attnzoo.tasks.translation_options import TranslationEvalOptions, TranslationTrainOptions

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, token_batches
    from attnzoo.explain import alignment as alignment_view
    from attnzoo.losses import alignment_cross_entropy, r_drop, vocabulary_cross_entropy
    from attnzoo.tasks import (
        evaluating,
        serving,
        sums,
        translating,
        translation_batches,
        translation_checks,
        translation_metrics,
        translation_writing,
    )

CHECKED_TARGETS = 1000


class Translation(Task):
    """Text in, text out."""

    name: ClassVar[str] = "translation"
    features: ClassVar[Mapping[str, Feature]] = {
        "source": Text(ends=True),
        "target": Text(ends=True),
        "alignment": Alignment(),
        "references": References(),
    }
    input_name: ClassVar[str] = "source"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "perplexity": Metric(False),
        "token_accuracy": Metric(True),
        "exact_match": Metric(True, is_of_predictions=True),
        "bleu": Metric(True, is_of_predictions=True),
        "chrf": Metric(True, is_of_predictions=True),
    }
    monitor: ClassVar[str] = "loss"
    compared_by: ClassVar[str | None] = "bleu"
    headline: ClassVar[tuple[str, ...]] = ("bleu",)
    searches: ClassVar[bool] = True
    unit: ClassVar[str] = "tokens"
    TrainOptions = TranslationTrainOptions
    EvalOptions = TranslationEvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields guided attention without alignments or with sampled pieces, and R-Drop without dropout."""
        data = config.data
        guided = bool(_train(config.train).guided_alignment)
        aligned = bool(data.model_dump().get("train_alignments"))
        if guided != aligned:
            keys = [("train", "guided_alignment"), ("data", "train_alignments")]
            path, other = keys if guided else reversed(keys)
            yield path, f"goes together with {'.'.join(other)}: give both, or leave both out"
        if guided and isinstance(data, TextOptions) and data.subword_sampling:
            yield (
                ("data", "subword_sampling"),
                "does not go with train.guided_alignment; leave one of them out",
            )
        yield from task_options.r_drop_problems(config)
        kind = data.model_dump().get("tokenizer")
        if _evaluation(config.eval).unknown == "copy" and kind != "words":
            yield ("eval", "unknown"), f"copy goes with data.tokenizer: words, not {kind}; leave it out"

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Warns of a tokenizer that cannot write the targets, and of BLEU that cannot split them."""
        targets = list(examples["train"].raw.column("target")[:CHECKED_TARGETS])
        translation_checks.warn_of_lost_targets(info.features["target"].make_tokenizer(), targets)
        translation_checks.warn_of_bleu_tokenizer(_evaluation(resolved.config.eval), targets)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function to `source`, `target` that begins with START, and targets `tokens`.

        With guided alignment targets have `alignment` <float32>[batch, target, source] too, rows of which sum
        to its weight, or to 0 without a link.
        """
        weight = 0.0 if training is None else _train(training).guided_alignment
        links = translation_batches.links_of(examples, info) if weight else None

        def make(row: pipeline.Row) -> pipeline.Batch:
            source, target = row.values["source"], row.values["target"]
            targets = {"weights": row.weights, "indices": row.indices, "tokens": target}
            if links is not None:
                targets["alignment"] = weight * translation_batches.attention_targets(links, row)
            inputs = {
                "source": translation_batches.end_of_truncated(source),
                "target": translation_batches.shift_right(target),
            }
            return inputs, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns cross entropy (nats a target token) and the fraction of tokens right, given those before.

        The logits of a batch are never all in memory. With alignments the loss has the cross entropy of the
        attention to them in it, which `alignment_loss` gives alone, without its weight (nats an aligned
        token). With R-Drop there is `divergence` (nats a pair).

        The model is a `layers.sequence_to_sequence.SequenceToSequence`.
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.twice((inputs, targets))
        tokens, guide = targets["tokens"], targets.get("alignment")
        weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
        hidden, attention = model.decode_all(inputs, training is not None, with_alignment=guide is not None)
        hidden, table = model.factors(hidden)
        rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
        labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
        loss = vocabulary_cross_entropy.vocabulary_cross_entropy(
            rows, table, labels, row_weights, smoothing, weight
        )
        results = sums.token_sums(loss, row_weights, weight)
        if guide is not None:
            guide = guide * targets["weights"][:, None, None]
            missed = alignment_cross_entropy.alignment_cross_entropy(attention, guide)
            results["loss"] += tf.stack([missed, 0.0])
            results["alignment_loss"] = tf.stack([missed, tf.reduce_sum(guide)])
        return results

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a function from inputs to `layers.decoding.DecoderOutput`, one translation each."""
        return translating.predict_fn(models, info, _evaluation(options), xla)

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> list[str]:
        """Returns the best translation of every example, in the order of the split."""
        batches = evaluating.evaluation_batches(self, examples, info, sizes)
        sources = examples.raw.column("source")
        each = translating.translate(predict, batches, sources, info, token_batches.side_by_side)
        by_index = {index: text for index, text, _, _ in each}
        return [by_index[index] for index in range(len(examples))]

    def corpus_metrics(
        self,
        predictions: list[str],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        fitted: Fitted,
    ) -> dict[str, float | str]:
        """What `translation_metrics.metrics_of` gives of the translations of a split."""
        return translation_metrics.metrics_of(predictions, _references(examples.raw), _evaluation(options))

    def details(
        self, predictions: list[str], examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, Any]:
        """Returns `references`: by how many each translation is scored."""
        return {"references": len(_references(examples.raw))}

    def compare(
        self,
        systems: Sequence[tuple[str, list[str]]],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> tuple[list[Comparison], str]:
        """Compares the BLEU of systems with that of the first by paired bootstrap resampling."""
        return translation_metrics.compare(systems, _references(examples.raw), _evaluation(options))

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the sources at `indices` with their references and translation."""
        sources, (first, *others) = examples.raw.column("source"), _references(examples.raw)
        batches = evaluating.evaluation_batches(self, examples, info, sizes, indices)
        each = translating.translate(predict, batches, sources, info)
        by_index = {index: text for index, text, _, _ in each}
        return [
            {
                "source": sources[index],
                "reference": first[index],
                **{f"reference {number}": texts[index] for number, texts in enumerate(others, 2)},
                "output": by_index[index],
            }
            for index in map(int, indices)
        ]

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> alignment_view.AlignmentView:
        """Returns what shows where each token of a translation attends, in the last block of the decoder."""
        if layer is not None:
            raise UserError(
                f"--layer {layer}: a translation shows the attention of its last block; leave it out."
            )
        module = self.serving_module(model, info, options)
        return alignment_view.AlignmentView(module.signatures()["alignment"], info)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from texts to an answer each.

        An answer has `translation`, `score` (what a search ranks by) and `log_probability` (nats) of the
        best, `translations` (all of them, with the same keys) if more than one is asked for, and what
        `token_batches.length_notes` says of its source. A text without a token has an empty translation.
        """
        evaluation = _evaluation(options)
        if request.beams is not None:
            evaluation = evaluation.model_copy(update={"beams": request.beams})
        if not request.sample and request.count > evaluation.beams:
            raise UserError(
                f"--count {request.count}: a search with {evaluation.beams} beam(s) gives at most as many "
                f"translations; add --beams {request.count}, or --sample."
            )
        run = translating.request_fn(models, info, evaluation, request)
        writer = translation_writing.Writer(info)
        lengths, seeds = token_batches.lengths_of(info, "source"), itertools.count(request.seed)

        def translate(batch: tuple[list[int], tf.Tensor, int]) -> tuple[list[int], Any]:
            chosen, ids, seed = batch
            return chosen, run(ids, tf.constant(seed % 2**31))

        def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
            rows = token_batches.encode(writer.source, texts, [END])
            answers: list[dict[str, Any]] = [{} for _ in texts]
            most = lengths[-1]
            cut = [np.concatenate([row[: most - 1], [END]]) if len(row) > most else row for row in rows]
            batches = ((*batch, next(seeds)) for batch in token_batches.in_batches(cut, lengths))
            for chosen, outputs in token_batches.side_by_side(translate, batches):
                ids = tf.reshape(outputs.tokens, [-1, outputs.tokens.shape[-1]])
                attended = tf.reshape(outputs.alignment, [tf.shape(ids)[0], *outputs.alignment.shape[2:]])
                raw = [texts[index].encode("utf-8") for index in chosen for _ in range(request.count)]
                raw += [b""] * (len(ids) - len(raw))  # rows that only fill up the batch
                written = [text.decode("utf-8") for text in writer(ids, attended, tf.constant(raw)).numpy()]
                values = zip(
                    outputs.hypothesis_scores.numpy(), outputs.log_probabilities.numpy(), strict=True
                )
                for place, (index, (scores, totals)) in enumerate(zip(chosen, values, strict=False)):
                    own = written[place * request.count : (place + 1) * request.count]
                    every = _ranked(own, scores, totals)
                    if len(rows[index]) == 1:
                        every = [{"translation": "", "score": 0.0, "log_probability": 0.0}]
                    notes = token_batches.length_notes(info, "source", len(rows[index]))
                    answers[index] = {**every[0], **notes}
                    if request.count > 1:
                        answers[index]["translations"] = every
            return answers

        return answer

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the translation."""
        return " ".join(answer["translation"].splitlines())

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Texts in, translations out; see `translating.serving_module`."""
        return translating.serving_module(model, info, _evaluation(options))

    def score(
        self,
        model: keras.Model,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
    ) -> Iterator[tuple[int, float, int]]:
        """Yields index, log probability of the target given the source (nats), and its tokens with END."""
        run = translating.log_probability_fn(model)
        for inputs, targets in evaluating.evaluation_batches(self, examples, info, sizes):
            real = int(tf.math.count_nonzero(targets["weights"]))
            totals = run(inputs, targets["tokens"]).numpy()[:real]
            counts = tf.math.count_nonzero(targets["tokens"], axis=1).numpy()[:real]
            indices = targets["indices"].numpy()[:real]
            yield from zip(map(int, indices), map(float, totals), map(int, counts), strict=True)

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns what to do with a finished run."""
        return [
            *super().next_commands(folder, attends),
            (f"attnzoo predict {folder} FILE", "translations of texts, one a line"),
            (f"attnzoo export {folder}", "a SavedModel that takes raw input"),
        ]


def _ranked(texts: Sequence[str], scores: np.ndarray, log_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Returns the translations of one source, best first; draws come in no order."""
    every = [
        {"translation": text, "score": float(score), "log_probability": float(total)}
        for text, score, total in zip(texts, scores, log_probabilities, strict=True)
        if np.isfinite(score)
    ]
    return sorted(every, key=lambda one: one["score"], reverse=True)


def _references(split: Split) -> list[list[str]]:
    """Returns the references of a split, [reference][example]; the first are its targets."""
    targets = list(split.column("target"))
    if "references" not in split.names:
        return [targets]
    return [targets, *map(list, zip(*split.column("references"), strict=True))]


def _train(options: sections.TrainOptions) -> TranslationTrainOptions:
    assert isinstance(options, TranslationTrainOptions)
    return options


def _evaluation(options: sections.EvalOptions) -> TranslationEvalOptions:
    assert isinstance(options, TranslationEvalOptions)
    return options
