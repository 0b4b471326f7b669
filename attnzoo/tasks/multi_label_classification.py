"""Text in, any number of labels out: each is a question of its own.

Imports no TensorFlow before it is asked for its work.
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
from attnzoo.tasks import options as task_options
from attnzoo.tasks.one_target import OneTextTask
from attnzoo.tasks.task import Fitted, Metric

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
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "label": Labels()}
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "exact_match": Metric(True),
        "macro_f1": Metric(True, is_of_predictions=True),
        "micro_f1": Metric(True, is_of_predictions=True),
        "average_precision": Metric(True, is_of_predictions=True),
    }
    monitor: ClassVar[str] = "loss"
    TrainOptions = task_options.CrossEntropyOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields R-Drop of a model without dropout."""
        yield from task_options.r_drop_problems(config)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function to `text` and targets `labels` <float32>[batch, classes], 0 or 1."""

        def make(row: pipeline.Row) -> pipeline.Batch:
            targets = {"weights": row.weights, "indices": row.indices, "labels": row.values["label"]}
            return {"text": row.values["text"]}, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns binary cross entropy (nats a label, their mean) and the fraction of texts all right.

        With R-Drop `divergence` (nats a pair and label) too.
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.twice((inputs, targets))
        logits = tf.cast(model(inputs, training=training is not None), tf.float32)
        labels, weights = targets["labels"], targets["weights"]
        losses = binary_cross_entropy.binary_cross_entropy(logits, labels, smoothing)
        correct = tf.reduce_all(tf.equal(logits >= 0.0, labels > 0.5), axis=-1)
        results = {"loss": sums.ratio(losses, weights), "exact_match": sums.ratio(correct, weights)}
        if weight:
            both = tf.math.log_sigmoid(tf.stack([logits, -logits], axis=-1))  # [batch, classes, 2]
            divergences = tf.reduce_mean(r_drop.divergence(both), axis=-1)
            return sums.with_divergence(results, divergences, weights, weight)
        return results

    def corpus_metrics(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        fitted: Fitted,
    ) -> dict[str, float | str]:
        """Scores the probabilities <float64>[examples, classes] of a split.

        Returns:
            `macro_f1` (mean over the labels that occur or are predicted) and `micro_f1` (of all decisions) at
            a threshold of 1/2, and `average_precision`, the area under the curve of precision and recall over
            all decisions, which needs no threshold.
        """
        truth, said = examples.encoded["label"] > 0.5, predictions >= THRESHOLD
        used = np.flatnonzero(truth.any(axis=0) | said.any(axis=0))
        f1_score = sklearn_metrics.f1_score
        by_label = (
            f1_score(truth, said, labels=used, average="macro", zero_division=0.0) if len(used) else 0.0
        )
        precision = 0.0
        if truth.any():
            precision = sklearn_metrics.average_precision_score(truth.ravel(), predictions.ravel())
        return {
            "macro_f1": float(by_label),
            "micro_f1": float(f1_score(truth, said, average="micro", zero_division=0.0)),
            "average_precision": float(precision),
        }

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns examples of all labels, by the first that each has, and some without one."""
        labels = split.column("label")
        return samples.of_every_class(np.where(labels.any(axis=1), labels.argmax(axis=1), -1), count)

    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns `labels` and those that are `predicted`, each after a comma."""
        return {"labels": target.shown(truth), "predicted": target.shown(values)}

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
        """Texts in; `probabilities` <float32>[batch, classes] and `has_label` <bool>[batch, classes] out."""

        def answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
            values = tf.sigmoid(tf.cast(logits, tf.float32))
            return {"probabilities": values, "has_label": values >= THRESHOLD}

        return target_predictions.serving_module(model, info, self.input_name, answer)
