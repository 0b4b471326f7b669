"""Single-label classification of texts and images.

TensorFlow is imported on first use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.base import PositiveFloat
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.tasks import options as task_options
from attnzoo.tasks import top_labels
from attnzoo.tasks.one_target import OneTargetTask
from attnzoo.tasks.types import Calibration, Metric

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.losses import cross_entropy as cross_entropy_loss
    from attnzoo.losses import r_drop
    from attnzoo.tasks import (
        class_scores,
        class_weights,
        classification_metrics,
        confusion,
        serving,
        sums,
        target_predictions,
    )


class ClassifierTrainOptions(task_options.CrossEntropyOptions):
    """How a classifier is trained."""

    class_weights: Literal["none", "balanced"] | dict[str, PositiveFloat] = Field(
        "none",
        description="Weights of the examples in the training loss, by label: balanced is examples / "
        "(classes * examples of the label), or {label: weight}, 1 for labels that are not "
        "named.",
    )


class ClassifierEvalOptions(sections.EvalOptions):
    """How a classifier is evaluated."""

    calibrate: bool = Field(
        False,
        description="predict and export give calibrated probabilities: of logits divided by the temperature "
        "that was fitted on validation.",
    )


class ClassifierTask(OneTargetTask):
    """Predicts one of several labels for a text or an image: features are the input and `label`."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "accuracy": Metric(True),
        "macro_f1": Metric(True, needs_predictions=True),
        "cohen_kappa": Metric(True, needs_predictions=True),
        "top_5_accuracy": Metric(True, needs_predictions=True),
        "calibration_error": Metric(False, needs_predictions=True),
    }
    monitor: ClassVar[str] = "accuracy"
    has_calibration: ClassVar[bool] = True
    answer_options: ClassVar[frozenset[str]] = frozenset({"top"})
    TrainOptions = ClassifierTrainOptions
    EvalOptions = ClassifierEvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields R-Drop without dropout, and class weights of labels that the data does not have."""
        yield from task_options.r_drop_problems(config)
        labels, weights = config.data.known_labels(), _train(config.train).class_weights
        if labels is not None:
            yield from class_weights.unknown_labels(("train", "class_weights"), weights, labels)

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Checks that class weights name only labels that the data has."""
        option = _train(resolved.config.train).class_weights
        labels = info.features["label"].names
        class_weights.check_labels(resolved, ("train", "class_weights"), option, labels)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to the input and the targets `labels` <int32>[batch].

        Class weights add `loss_weights` <float32>[batch], already multiplied by `weights`. Mixed images add
        `other_labels` <int32>[batch] and `label_fractions` <float32>[batch], the fraction of `labels`.
        """
        weights = None
        if training is not None:
            option, label = _train(training).class_weights, info.features["label"]
            weights = class_weights.class_weights(option, label.names, examples.encoded["label"])

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            targets = {"weights": batch.weights, "indices": batch.indices, "labels": batch.values["label"]}
            fractions = batch.values.get("mixture_fractions")
            if fractions is not None:
                targets["label_fractions"] = fractions
                targets["other_labels"] = tf.gather(targets["labels"], batch.values["mixture_partners"])
            if weights is not None:
                factors = tf.gather(weights, targets["labels"])
                if fractions is not None:
                    others = tf.gather(weights, targets["other_labels"])
                    factors = others + fractions * (factors - others)
                targets["loss_weights"] = targets["weights"] * factors
            return {self.input_name: batch.values[self.input_name]}, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns cross entropy (nats per example), accuracy and, with R-Drop, `divergence` (per pair)."""
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.duplicate((inputs, targets))
        outputs = model(inputs, training=training is not None)
        labels, weights = targets["labels"], targets["weights"]
        losses = cross_entropy_loss.cross_entropy(outputs, labels, smoothing)
        if "other_labels" in targets:
            others = cross_entropy_loss.cross_entropy(outputs, targets["other_labels"], smoothing)
            losses = others + targets["label_fractions"] * (losses - others)
        correct = tf.equal(tf.argmax(outputs, axis=-1, output_type=tf.int32), labels)
        loss_weights = targets.get("loss_weights", weights)
        results = {"loss": sums.ratio(losses, loss_weights), "accuracy": sums.ratio(correct, weights)}
        if weight:
            divergences = r_drop.divergence(tf.nn.log_softmax(tf.cast(outputs, tf.float32)))
            return sums.with_divergence(results, divergences, loss_weights, weight)
        return results

    def corpus_metrics(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Returns `classification_metrics.compute_metrics` of the probabilities of a split."""
        labels = examples.encoded["label"]
        return dict(
            classification_metrics.compute_metrics(predictions, labels, calibration.get("temperature"))
        )

    def details(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, Any]:
        """Returns `labels`, `confusion_matrix` and `classes`.

        The matrix has counts by true label (row) and predicted one (column); `classes` are those of
        `class_scores.class_scores`.
        """
        matrix = classification_metrics.confusion_matrix(predictions, examples.encoded["label"])
        names = list(info.features["label"].names)
        scores = class_scores.class_scores(names, matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1))
        return {"labels": names, "confusion_matrix": matrix.tolist(), "classes": scores}

    def pictures(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, np.ndarray]:
        """Draws the confusion matrix."""
        matrix = classification_metrics.confusion_matrix(predictions, examples.encoded["label"])
        return {"confusion_matrix": confusion.draw(matrix, info.features["label"].names)}

    def describe(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the scores of the classes and the confusion matrix as lines."""
        if not details:
            return []
        confusions = confusion.lines(details["confusion_matrix"], details["labels"])
        return [*class_scores.lines(details["classes"]), *confusions]

    def calibrated(
        self, predictions: np.ndarray, options: sections.EvalOptions, calibration: Calibration
    ) -> np.ndarray:
        """Returns the probabilities; with `eval.calibrate` those of logits divided by the temperature."""
        if not _evaluation(options).calibrate or "temperature" not in calibration:
            return predictions
        return classification_metrics.apply_temperature(predictions, calibration["temperature"])

    def errors(self, predictions: np.ndarray, truths: np.ndarray, target: Target) -> np.ndarray:
        """Returns the probability of the predicted label where it is wrong, else 0."""
        wrong = predictions.argmax(axis=1) != truths
        return np.where(wrong, predictions.max(axis=1), 0.0)

    def fit_calibration(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> Calibration:
        """Returns the temperature that `classification_metrics.fit_temperature` gives."""
        temperature = classification_metrics.fit_temperature(predictions, examples.encoded["label"])
        return {} if temperature is None else {"temperature": temperature}

    def read_calibration(self, state: Mapping[str, Any]) -> Calibration:
        """Returns the temperature that was saved with the weights, if there is one."""
        value = state.get("temperature")
        if value is None:
            return {}
        if not (isinstance(value, float) and 0.0 < value < math.inf):
            raise ValueError("temperature: expected a number above 0")
        return {"temperature": value}

    def calibration_notes(self, options: sections.EvalOptions, calibration: Calibration) -> Iterator[str]:
        """Yields that there is no temperature although the options ask for it."""
        if _evaluation(options).calibrate and "temperature" not in calibration:
            yield (
                "eval.calibrate: this run has no temperature: it is fitted at the end of training, for at "
                "most 1,000 classes; probabilities are those that the model gives."
            )

    def prediction_model(
        self, model: keras.Model, options: sections.EvalOptions, calibration: Calibration
    ) -> keras.Model:
        """Returns the model; with `eval.calibrate` its logits are divided by the temperature."""
        if not _evaluation(options).calibrate:
            return model
        if "temperature" not in calibration:
            raise ValueError(
                "eval.calibrate: this run has no temperature: it is fitted at the end of training, for at "
                "most 1,000 classes; finish the run, or set eval.calibrate to false."
            )
        scale = keras.layers.Rescaling(1.0 / calibration["temperature"], dtype="float32", name="calibration")
        return keras.Model(model.input, scale(model.output), name=model.name)

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from raw inputs to `label`, its `probability` and all `probabilities`."""
        names = tf.constant(list(info.features["label"].names))

        def answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
            values = tf.nn.softmax(tf.cast(logits, tf.float32))
            return {
                "label": tf.gather(names, tf.argmax(values, axis=-1)),
                "probability": tf.reduce_max(values, axis=-1),
                "probabilities": values,
            }

        return target_predictions.serving_module(model, info, self.input_name, answer)

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns the class names and whether probabilities are calibrated."""
        return {"labels": list(info.features["label"].names), "calibrated": _evaluation(options).calibrate}

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the label and its probability, or those of the most probable labels."""
        return top_labels.line(answer.get(top_labels.KEY) or [answer])

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of examples from all classes."""
        return samples.sample_every_class(split.column("label"), count)

    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns `label`, `predicted` and its `probability`."""
        ((predicted, _),) = target.prediction_texts(values)
        return {
            "label": target.format_value(truth),
            "predicted": predicted,
            "probability": f"{values.max():.3f}",
        }


def _train(options: sections.TrainOptions) -> ClassifierTrainOptions:
    assert isinstance(options, ClassifierTrainOptions)
    return options


def _evaluation(options: sections.EvalOptions) -> ClassifierEvalOptions:
    assert isinstance(options, ClassifierEvalOptions)
    return options
