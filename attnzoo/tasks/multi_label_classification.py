"""Multi-label text classification: text in, any number of labels out, each decided independently.

TensorFlow is imported on first use.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.base import PositiveFloat
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.errors import DataNote, UserError
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.features.labels import THRESHOLD, Labels
from attnzoo.features.targets import Target
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.tasks import options as task_options
from attnzoo.tasks import top_labels
from attnzoo.tasks.one_target import MAX_OUTPUTS, OneTextTask
from attnzoo.tasks.types import Calibration, Metric, Predictor, Request

with epy.lazy_imports():
    import keras
    import sklearn.metrics as sklearn_metrics
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.losses import binary_cross_entropy, r_drop
    from attnzoo.tasks import class_scores, class_weights, label_thresholds, serving, sums, target_predictions

Threshold = Annotated[float, Field(gt=0.0, lt=1.0)]


class MultiLabelTrainOptions(task_options.CrossEntropyOptions):
    """How a multi-label classifier is trained."""

    class_weights: Literal["none", "balanced"] | dict[str, PositiveFloat] = Field(
        "none",
        description="Weights of the examples that have a label, in the training loss of that label (positive "
        "weights): balanced is examples without it / examples with it, or {label: weight}, 1 for labels that "
        "are not named.",
    )


class MultiLabelEvalOptions(sections.EvalOptions):
    """How a multi-label classifier is evaluated."""

    threshold: Literal["auto"] | Threshold | dict[str, Threshold] = Field(
        0.5,
        description="Smallest probability at which a label is predicted, above 0 and below 1, in eval, "
        "predict and export: a number, {label: number} (0.5 for labels that are not named), or auto: for "
        "each label the one with the highest F1 on validation, fitted at the end of training.",
    )


class MultiLabelClassification(OneTextTask):
    """Text in, any number of labels out."""

    name: ClassVar[str] = "multi_label_classification"
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "label": Labels(), "weight": Weight()}
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "exact_match": Metric(True),
        "macro_f1": Metric(True, needs_predictions=True),
        "micro_f1": Metric(True, needs_predictions=True),
        "average_precision": Metric(True, needs_predictions=True),
    }
    monitor: ClassVar[str] = "loss"
    answer_options: ClassVar[frozenset[str]] = frozenset({"top"})
    has_calibration: ClassVar[bool] = True
    TrainOptions = MultiLabelTrainOptions
    EvalOptions = MultiLabelEvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields R-Drop without dropout, and weights and thresholds of labels that the data does not have."""
        yield from task_options.r_drop_problems(config)
        labels = config.data.known_labels()
        if labels is not None:
            for path, option in _by_label(config):
                yield from class_weights.unknown_labels(path, option, labels)

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Checks that weights and thresholds name only labels of the data, and that `auto` can be fitted."""
        names = info.features["label"].names
        for path, option in _by_label(resolved.config):
            class_weights.check_labels(resolved, path, option, names)
        if _evaluation(resolved.config.eval).threshold == "auto" and len(names) > MAX_OUTPUTS:
            origin = resolved.origins[("eval", "threshold")].label
            raise UserError(
                f"{origin}: eval.threshold: auto is for at most {MAX_OUTPUTS:,} labels, and the data has "
                f"{len(names):,}; give a number, such as 0.5."
            )

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to `text` and `labels` <float32>[batch, classes].

        Class weights and thresholds add `positive_weights` and `thresholds` <float32>[batch, classes].
        """
        label: Labels = info.features["label"]
        by_label: dict[str, Any] = {"thresholds": label.thresholds or None}
        if training is not None:
            option = _train(training).class_weights
            truths = examples.encoded["label"]
            by_label["positive_weights"] = class_weights.positive_weights(option, label.names, truths)

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            labels = batch.values["label"]
            targets = {"weights": batch.weights, "indices": batch.indices, "labels": labels}
            for name, values in by_label.items():
                if values is not None:
                    targets[name] = tf.broadcast_to(tf.constant(values, tf.float32), tf.shape(labels))
            return {"text": batch.values["text"]}, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns binary cross entropy (mean nats per label) and the fraction of exactly correct label sets.

        A label is predicted from its threshold on. In evaluations all examples weigh the same in the loss.
        With R-Drop also `divergence` (nats per pair and label).
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.duplicate((inputs, targets))
        logits = tf.cast(model(inputs, training=training is not None), tf.float32)
        labels, weights = targets["labels"], targets["weights"]
        losses = binary_cross_entropy.binary_cross_entropy(
            logits, labels, smoothing, targets.get("positive_weights")
        )
        bounds = 0.0
        if "thresholds" in targets:
            bounds = tf.math.log(targets["thresholds"]) - tf.math.log1p(-targets["thresholds"])
        correct = tf.reduce_all(tf.equal(logits >= bounds, labels > 0.5), axis=-1)
        results = {"loss": sums.ratio(losses, weights), "exact_match": sums.ratio(correct, weights)}
        if weight:
            pairs = tf.math.log_sigmoid(tf.stack([logits, -logits], axis=-1))  # [batch, classes, 2]
            divergences = tf.reduce_mean(r_drop.divergence(pairs), axis=-1)
            return sums.with_divergence(results, divergences, weights, weight)
        return results

    def corpus_metrics(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Computes metrics of the probabilities <float64>[examples, classes] of a split.

        Returns:
            `macro_f1` (mean over the labels that occur or are predicted) and `micro_f1` (over all decisions)
            with the thresholds of `eval.threshold`, and `average_precision`, the area under the
            precision-recall curve over all decisions, which needs no threshold.
        """
        truth, predicted = examples.encoded["label"] > 0.5, info.features["label"].is_predicted(predictions)
        used = np.flatnonzero(truth.any(axis=0) | predicted.any(axis=0))
        f1_score = sklearn_metrics.f1_score
        macro_f1 = (
            f1_score(truth, predicted, labels=used, average="macro", zero_division=0.0) if len(used) else 0.0
        )
        precision = 0.0
        if truth.any():
            precision = sklearn_metrics.average_precision_score(truth.ravel(), predictions.ravel())
        return {
            "macro_f1": float(macro_f1),
            "micro_f1": float(f1_score(truth, predicted, average="micro", zero_division=0.0)),
            "average_precision": float(precision),
        }

    def details(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, Any]:
        """Returns `classes`, see `class_scores.class_scores`."""
        label: Labels = info.features["label"]
        truth, predicted = examples.encoded["label"] > 0.5, label.is_predicted(predictions)
        correct = (truth & predicted).sum(axis=0)
        thresholds = label.thresholds or [THRESHOLD] * len(label.names)
        return {
            "classes": class_scores.class_scores(
                label.names, correct, predicted.sum(axis=0), truth.sum(axis=0), thresholds
            )
        }

    def describe(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the scores of the labels as lines."""
        return list(class_scores.lines(details["classes"])) if details else []

    def errors(self, predictions: np.ndarray, truths: np.ndarray, target: Target) -> np.ndarray:
        """Returns how far the probability of the label that is most clearly wrong is from its true value."""
        assert isinstance(target, Labels)
        wrong = target.is_predicted(predictions) != (truths > 0.5)
        return np.where(wrong, np.abs(predictions - truths), 0.0).max(axis=1)

    def fit_calibration(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> Calibration:
        """Returns `thresholds`, those that `label_thresholds.fit` gives."""
        names = info.features["label"].names
        if not np.isfinite(predictions).all():
            return {}
        return {"thresholds": label_thresholds.fit(predictions, examples.encoded["label"] > 0.5, names)}

    def read_calibration(self, state: Mapping[str, Any]) -> Calibration:
        """Returns the thresholds that were saved with the weights, if there are any."""
        value = state.get("thresholds")
        return {} if value is None else {"thresholds": label_thresholds.read(value)}

    def answering_info(
        self, info: DataInfo, options: sections.EvalOptions, calibration: Calibration
    ) -> DataInfo:
        """Returns the info with the thresholds of `eval.threshold`; `auto` changes nothing until fitted."""
        label: Labels = info.features["label"]
        thresholds = label_thresholds.resolve(
            _evaluation(options).threshold, label.names, calibration.get("thresholds")
        )
        if not thresholds:
            return info
        features = {**info.features, "label": label.with_thresholds(thresholds)}
        return dataclasses.replace(info, features=features)

    def calibration_notes(self, options: sections.EvalOptions, calibration: Calibration) -> Iterator[str]:
        """Yields that there are no thresholds although the options ask for them."""
        if _evaluation(options).threshold == "auto" and "thresholds" not in calibration:
            yield (
                "eval.threshold: auto: this run has no thresholds: they are fitted at the end of training; "
                f"labels are predicted from a probability of {THRESHOLD} on."
            )

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns what other tasks with texts do; notes whose thresholds an ensemble uses."""
        if len(models) > 1 and _evaluation(options).threshold == "auto":
            warnings.warn(
                "eval.threshold: auto: the ensemble predicts labels by the thresholds of its first run, "
                "which were fitted to that run's probabilities alone.",
                DataNote,
                stacklevel=2,
            )
        return super().predictor(models, info, options, request)

    def prediction_model(
        self, model: keras.Model, options: sections.EvalOptions, calibration: Calibration
    ) -> keras.Model:
        """Returns the model, if thresholds that the options ask for were fitted."""
        if _evaluation(options).threshold == "auto" and "thresholds" not in calibration:
            raise ValueError(
                "eval.threshold: auto: this run has no thresholds: they are fitted at the end of training; "
                "finish the run, or set eval.threshold to a number."
            )
        return model

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of examples with each label as their first one, and of some without labels."""
        labels = split.column("label")
        return samples.sample_every_class(np.where(labels.any(axis=1), labels.argmax(axis=1), -1), count)

    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns true and predicted labels, separated by commas."""
        return {"labels": target.format_value(truth), "predicted": target.format_value(values)}

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns the class names and the thresholds of `has_label`."""
        label: Labels = info.features["label"]
        thresholds = label.thresholds or [THRESHOLD] * len(label.names)
        return {"labels": list(label.names), "thresholds": list(thresholds)}

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the labels with their probabilities, or those of the most probable labels."""
        if top_labels.KEY in answer:
            return top_labels.line(answer[top_labels.KEY])
        chosen = ((label, answer["probabilities"][label]) for label in answer["labels"])
        return "\t".join(f"{' '.join(label.splitlines())} {value:.4f}" for label, value in chosen)

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from texts to `probabilities` and `has_label`, both [batch, classes]."""
        thresholds = tf.constant(info.features["label"].thresholds or THRESHOLD, tf.float32)

        def answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
            values = tf.sigmoid(tf.cast(logits, tf.float32))
            return {"probabilities": values, "has_label": values >= thresholds}

        return target_predictions.serving_module(model, info, self.input_name, answer)


def _by_label(config: RunConfig) -> Iterator[tuple[KeyPath, Any]]:
    """Yields the path and the value of each option that may name labels."""
    yield ("train", "class_weights"), _train(config.train).class_weights
    yield ("eval", "threshold"), _evaluation(config.eval).threshold


def _train(options: sections.TrainOptions) -> MultiLabelTrainOptions:
    assert isinstance(options, MultiLabelTrainOptions)
    return options


def _evaluation(options: sections.EvalOptions) -> MultiLabelEvalOptions:
    assert isinstance(options, MultiLabelEvalOptions)
    return options
