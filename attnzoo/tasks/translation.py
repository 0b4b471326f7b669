"""Translation: text in, text out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

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
from attnzoo.features.weight import Weight
from attnzoo.special_tokens import PADDING
from attnzoo.tasks import options as task_options
from attnzoo.tasks.task import Task
from attnzoo.tasks.translation_options import (
    TranslationEvalOptions,
    TranslationTrainOptions,
    count_problem,
)
from attnzoo.tasks.types import (
    Calibration,
    Comparison,
    Metric,
    PredictFn,
    Predictor,
    Request,
    Scorer,
    WorstExample,
)

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
        translation_answers,
        translation_batches,
        translation_checks,
        translation_metrics,
        translation_results,
        translation_scoring,
    )

MAX_CHECKED_TARGETS = 1000
LETTERS = ("characters", "bytes")
"""Tokenizers whose tokens are parts of words."""


class Translation(Task):
    """Translates a text into another: features are `source` and `target`."""

    name: ClassVar[str] = "translation"
    features: ClassVar[Mapping[str, Feature]] = {
        "source": Text(ends=True),
        "target": Text(ends=True),
        "alignment": Alignment(),
        "references": References(),
        "weight": Weight(),
    }
    input_name: ClassVar[str] = "source"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "perplexity": Metric(False),
        "token_accuracy": Metric(True),
        "exact_match": Metric(True, needs_predictions=True),
        "bleu": Metric(True, needs_predictions=True),
        "chrf": Metric(True, needs_predictions=True),
    }
    monitor: ClassVar[str] = "loss"
    comparison_metric: ClassVar[str | None] = "bleu"
    headline: ClassVar[tuple[str, ...]] = ("bleu",)
    answer_options: ClassVar[frozenset[str]] = frozenset(
        {"count", "beams", "has_prefixes", "sample", "seed", "temperature", "top_k", "top_p"}
    )
    scored_name: ClassVar[str | None] = "target"
    unit: ClassVar[str] = "tokens"
    TrainOptions = TranslationTrainOptions
    EvalOptions = TranslationEvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields options that conflict: guided alignment, R-Drop and copying have requirements."""
        data = config.data
        guided = bool(_train(config.train).guided_alignment)
        aligned = bool(data.model_dump().get("train_alignments"))
        if guided != aligned:
            keys = [("train", "guided_alignment"), ("data", "train_alignments")]
            path, other = keys if guided else reversed(keys)
            yield path, f"needs {'.'.join(other)} too: set both, or remove it"
        if guided and isinstance(data, TextOptions) and data.subword_sampling:
            yield (
                ("data", "subword_sampling"),
                "cannot be combined with train.guided_alignment; remove one of them",
            )
        if guided and (kind := self.features["source"].learning_options(data).get("tokenizer")) in LETTERS:
            what = f"goes with data.tokenizer words, subwords or bpe, not {kind}: alignments are of words"
            yield ("train", "guided_alignment"), what
        yield from task_options.r_drop_problems(config)
        kind = data.model_dump().get("tokenizer")
        if _evaluation(config.eval).unknown == "copy" and kind != "words":
            yield ("eval", "unknown"), f"copy needs data.tokenizer: words, received {kind}; remove it"

    def machine_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields a tokenizer of BLEU that is not installed."""
        yield from super().machine_problems(config)
        try:
            translation_metrics.bleu(_evaluation(config.eval))
        except UserError as error:
            yield ("eval", "bleu_tokenizer"), str(error).removeprefix("eval.bleu_tokenizer: ").rstrip(".")

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Warns about a tokenizer that cannot reproduce the targets or a BLEU tokenizer unfit for them."""
        targets = list(examples["train"].raw.column("target")[:MAX_CHECKED_TARGETS])
        translation_checks.warn_of_lost_targets(info.features["target"].make_tokenizer(), targets)
        translation_checks.warn_of_bleu_tokenizer(_evaluation(resolved.config.eval), targets)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to inputs `source` and `target` and targets `tokens`.

        The input `target` is `tokens` shifted right. With guided alignment, targets also have `alignment`
        <float32>[batch, target, source], whose rows sum to the weight of its loss, or to 0 for tokens without
        a link.
        """
        weight = 0.0 if training is None else _train(training).guided_alignment
        links = translation_batches.alignment_links(examples, info) if weight else None

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            source, target = batch.values["source"], batch.values["target"]
            targets = {"weights": batch.weights, "indices": batch.indices, "tokens": target}
            if links is not None:
                targets["alignment"] = weight * translation_batches.attention_targets(links, batch)
            inputs = {
                "source": translation_batches.restore_end(source),
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
        """Returns cross entropy (nats per target token) and token accuracy, with teacher forcing.

        The logits of a batch are never all in memory. With guided alignment the loss includes the weighted
        cross entropy between attention and alignments; `alignment_loss` is that term alone, unweighted (nats
        per aligned token). With R-Drop there is `divergence` (nats per pair).

        The model is a `layers.sequence_to_sequence.SequenceToSequence`.
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.duplicate((inputs, targets))
        tokens, guide = targets["tokens"], targets.get("alignment")
        weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
        hidden, attention = model.decode_all(inputs, training is not None, with_alignment=guide is not None)
        hidden, table = model.logit_factors(hidden)
        rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
        labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
        loss = vocabulary_cross_entropy.vocabulary_cross_entropy(
            rows, table, labels, row_weights, smoothing, weight
        )
        results = sums.token_sums(loss, row_weights, weight)
        if guide is not None:
            guide = guide * targets["weights"][:, None, None]
            alignment_loss = alignment_cross_entropy.alignment_cross_entropy(attention, guide)
            results["loss"] += tf.stack([alignment_loss, 0.0])
            results["alignment_loss"] = tf.stack([alignment_loss, tf.reduce_sum(guide)])
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
        translations = translating.translate(predict, batches, sources, info, token_batches.run_concurrently)
        by_index = {index: text for index, text, _, _ in translations}
        return [by_index[index] for index in range(len(examples))]

    def corpus_metrics(
        self,
        predictions: list[str],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Returns `translation_metrics.compute_metrics` of the translations of a split."""
        return translation_metrics.compute_metrics(
            predictions, _references(examples.raw), _evaluation(options)
        )

    def details(
        self, predictions: list[str], examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, Any]:
        """Returns `references`: the number of references per translation."""
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

    def results(
        self,
        predictions: list[str],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> Iterator[dict[str, Any]]:
        """Yields source, references and translation of each example."""
        return translation_results.results(
            predictions, list(examples.raw.column("source")), _references(examples.raw)
        )

    def worst(
        self,
        predictions: list[str],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        count: int,
    ) -> list[WorstExample]:
        """Returns the translations with the lowest chrF of their own, without those that are exact."""
        sources = list(examples.raw.column("source"))
        return translation_results.worst(
            predictions, sources, _references(examples.raw), _evaluation(options), count
        )

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the sources at `indices` with their references and translations."""
        sources, (first, *others) = examples.raw.column("source"), _references(examples.raw)
        batches = evaluating.evaluation_batches(self, examples, info, sizes, indices)
        translations = translating.translate(predict, batches, sources, info)
        by_index = {index: text for index, text, _, _ in translations}
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
        """Returns the view of the attention of target tokens in the last block of the decoder."""
        if layer is not None:
            raise UserError(
                f"--layer {layer}: not available for translation, which always shows the last block; "
                "remove it."
            )
        module = self.serving_module(model, info, options)
        return alignment_view.AlignmentView(module.signatures()["alignment"], info)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from texts to one answer each.

        An answer has `translation`, `score` (by which hypotheses are ranked) and `log_probability` (nats) of
        the best hypothesis, `translations` (all hypotheses, with the same keys) if several are requested, and
        the notes of `token_batches.length_notes`. A text without tokens has an empty translation.
        """
        return translation_answers.TranslationPredictor(models, info, _evaluation(options), request)

    def request_problems(self, config: RunConfig, request: Request) -> Iterator[str]:
        """Yields a beam size where nothing is searched for, and more translations than a search has beams."""
        if request.sample and request.beams is not None:
            yield "--sample draws translations and searches for none; remove --beams"
        if (problem := count_problem(_evaluation(config.eval), request)) is not None:
            yield problem

    def null_answer(self, info: DataInfo, request: Request) -> dict[str, None]:
        """Returns the keys of an answer without values."""
        others = ["translations"] if request.count > 1 else []
        return dict.fromkeys([*translation_answers.KEYS, "truncated", "beyond_training", *others])

    def answer_table(self, answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
        """Returns one row per translation, with its `rank` if several are requested."""
        return translation_answers.answer_table(answer)

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the translation."""
        return " ".join(answer["translation"].splitlines())

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from texts to translations, see `translating.serving_module`."""
        return translating.serving_module(model, info, _evaluation(options))

    def scorer(
        self, model: keras.Model, info: DataInfo, sizes: pipeline.BatchSizes, with_tokens: bool
    ) -> Scorer:
        """Returns a function from sources and targets to a score each.

        A score has `log_probability` (nats) and `tokens` (their number, with END) of the target given its
        source, `token_log_probabilities` if `with_tokens`, and the notes of `token_batches.length_notes`, of
        both texts; only the first tokens of a truncated text are scored.
        """
        return translation_scoring.scorer(self, model, info, sizes, with_tokens)

    def null_score(self, with_tokens: bool) -> dict[str, None]:
        """Returns the keys of a score without values."""
        return dict.fromkeys(translation_scoring.keys(with_tokens))

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns commands to continue with after training, and what each is for."""
        return [
            *super().next_commands(folder, attends),
            (f"attnzoo predict {folder} FILE", "translate texts, one per line"),
            (f"attnzoo export {folder}", "write a SavedModel that takes raw inputs"),
        ]


def _references(split: Split) -> list[list[str]]:
    """Returns the references of a split, [reference][example]; the first ones are its targets."""
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
