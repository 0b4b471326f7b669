"""Multi-label text classification: text in, any number of labels out, each decided independently.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo.config import RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.features.feature import Feature, Target
from attnzoo.features.info import DataInfo
from attnzoo.features.labels import THRESHOLD, Labels
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.tasks import options as task_options
from attnzoo.tasks.one_target import OneTextTask
from attnzoo.tasks.types import Calibration, Metric

with epy.lazy_imports():
    import keras
    import sklearn.metrics as sklearn_metrics
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.losses import binary_cross_entropy, r_drop
    from attnzoo.tasks import serving, sums, target_predictions


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
    TrainOptions = task_options.CrossEntropyOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields a problem if R-Drop is on and the model has no dropout."""
        yield from task_options.r_drop_problems(config)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to `text` and `labels` <float32>[batch, classes]."""

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            targets = {"weights": batch.weights, "indices": batch.indices, "labels": batch.values["label"]}
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

        With R-Drop also `divergence` (nats per pair and label).
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.duplicate((inputs, targets))
        logits = tf.cast(model(inputs, training=training is not None), tf.float32)
        labels, weights = targets["labels"], targets["weights"]
        losses = binary_cross_entropy.binary_cross_entropy(logits, labels, smoothing)
        correct = tf.reduce_all(tf.equal(logits >= 0.0, labels > 0.5), axis=-1)
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
            at a threshold of 1/2, and `average_precision`, the area under the precision-recall curve over all
            decisions, which needs no threshold.
        """
        truth, predicted = examples.encoded["label"] > 0.5, predictions >= THRESHOLD
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

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of examples with each label as their first one, and of some without labels."""
        labels = split.column("label")
        return samples.sample_every_class(np.where(labels.any(axis=1), labels.argmax(axis=1), -1), count)

    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns true and predicted labels, separated by commas."""
        return {"labels": target.format_value(truth), "predicted": target.format_value(values)}

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns the class names."""
        return {"labels": list(info.features["label"].names)}

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the labels with their probabilities."""
        chosen = ((label, answer["probabilities"][label]) for label in answer["labels"])
        return "\t".join(f"{' '.join(label.splitlines())} {value:.4f}" for label, value in chosen)

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from texts to `probabilities` and `has_label`, both [batch, classes]."""

        def answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
            values = tf.sigmoid(tf.cast(logits, tf.float32))
            return {"probabilities": values, "has_label": values >= THRESHOLD}

        return target_predictions.serving_module(model, info, self.input_name, answer)
