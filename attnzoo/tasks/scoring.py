"""Metrics over a whole split: exact over uneven last batches and over replicas.

Every metric is a ratio of two sums, so that adding the sums of batches and of replicas gives the same
figure as one batch of everything.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.info import DataInfo
from attnzoo.layers.vocabulary_loss import VocabularyLoss


def ratio(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns <float32>[2]: the weighted sum of `values` and the sum of `weights` (equal shapes)."""
    weights = tf.cast(weights, tf.float32)
    return tf.stack([tf.reduce_sum(tf.cast(values, tf.float32) * weights), tf.reduce_sum(weights)])


def smoothed_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Cross entropy against a target that gives `label_smoothing` of its mass to all classes alike.

    loss = (1 - s) * -log p[label] + s * mean over classes of -log p

    Args:
        logits: <float>[..., classes].
        labels: <int32>[...].
        label_smoothing: s, 0 to 1.

    Returns:
        <float32>[...].

    Reference:
        Szegedy et al. 2016, section 7, https://arxiv.org/abs/1512.00567
    """
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if label_smoothing == 0.0:
        return losses
    log_normaliser = tf.reduce_logsumexp(logits, axis=-1)
    uniform = log_normaliser - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * losses + label_smoothing * uniform


def token_sums(found: VocabularyLoss, weights: tf.Tensor, r_drop: float) -> dict[str, tf.Tensor]:
    """Returns `loss` and `token_accuracy` of rows of `weights` <float32>[rows]; `divergence` with R-Drop."""
    count = tf.reduce_sum(weights)
    sums = {"loss": tf.stack([found.loss, count]), "token_accuracy": tf.stack([found.right, count])}
    if r_drop:
        sums["divergence"] = tf.stack([found.divergence, 0.5 * count])
    return sums


def with_divergence(
    sums: dict[str, tf.Tensor], divergences: tf.Tensor, weights: tf.Tensor, r_drop: float
) -> dict[str, tf.Tensor]:
    """Adds what R-Drop asks for to the sums of a classifier.

    Args:
        sums: with `loss`; `divergence` (nats a pair) is added to them, and `r_drop` times it to the loss.
        divergences: <float32>[batch / 2], see `divergences`.
        weights: <float32>[batch], those of the loss; of two equal halves.
        r_drop: weight of the divergence.
    """
    divergence = ratio(divergences, tf.split(weights, 2)[0])
    return {**sums, "loss": sums["loss"] + tf.stack([r_drop * divergence[0], 0.0]), "divergence": divergence}


def divergences(log_probabilities: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of the first half of the rows and the second, the mean of both directions.

    Args:
        log_probabilities: <float32>[batch, ..., classes], of two passes over the same examples.

    Returns:
        <float32>[batch / 2, ...], nats.

    Reference: R-Drop: Liang et al. 2021, https://arxiv.org/abs/2106.14448
    """
    first, second = tf.split(log_probabilities, 2)
    return 0.5 * tf.reduce_sum((tf.exp(first) - tf.exp(second)) * (first - second), axis=-1)


def to_metrics(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns numerator / denominator of every metric, and the perplexity where the loss is one of tokens."""
    metrics = {name: float(pair[0] / pair[1]) if pair[1] else math.nan for name, pair in sums.items()}
    if "token_accuracy" in metrics:
        metrics["perplexity"] = math.exp(min(metrics["loss"], 700.0))
    return metrics


def distribute(strategy: tf.distribute.Strategy, batch: pipeline.Batch) -> pipeline.Batch:
    """Splits a batch evenly over the replicas."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batch
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.nest.map_structure(
            lambda tensor: tf.split(tensor, replicas)[context.replica_id_in_sync_group], batch
        )
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """How good a model is on a split.

    Attributes:
        metrics: name -> number; signatures are texts.
        confusion_matrix: <int64>[true label, predicted label], numbers of examples; None for tasks that are
            not about one label, and where there are too many labels.
    """

    metrics: dict[str, float | str]
    confusion_matrix: np.ndarray | None = None


class Evaluator:
    """Scores a model on whole splits, with one compiled step a batch shape.

    Args:
        model: gives logits for `inputs`.
        task: a task module.
        info: what is known of the data.
        sizes: examples a batch.
        options: the eval section.
        strategy: where the model's variables live.
        xla: whether steps are compiled with XLA.

    Attributes:
        model: the model.
    """

    def __init__(
        self,
        model: keras.Model,
        task: ModuleType,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        options: EvalOptions,
        strategy: tf.distribute.Strategy,
        *,
        xla: bool,
    ) -> None:
        self.model, self.task, self.info, self.sizes, self.strategy = model, task, info, sizes, strategy
        self.options = options
        self.predict = task.predictor([model], info, options, xla)

        @tf.function(jit_compile=xla, autograph=False)
        def replica_sums(inputs, targets):
            return task.sums(model, inputs, targets, training=False, label_smoothing=0.0)

        @tf.function(autograph=False)
        def step(inputs, targets):
            sums = strategy.run(replica_sums, args=(inputs, targets))
            return {name: strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

        self._step = step

    def evaluate(
        self, examples: Examples, before_batch: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """Returns every metric of the task that is a ratio of sums, over all examples, each counted once.

        Args:
            examples: the split.
            before_batch: called before each batch; what it raises ends the evaluation.
        """
        totals: dict[str, np.ndarray] = {}
        plans = pipeline.evaluation_plans(examples, self.info, self.sizes)
        for batch in pipeline.batches(examples, self.info, plans):
            before_batch()
            for name, value in self._step(*distribute(self.strategy, batch)).items():
                totals[name] = totals.get(name, np.zeros(2)) + value.numpy().astype(np.float64)
        return to_metrics(totals)

    def report(self, examples: Examples, temperature: float | None = None) -> Report:
        """Returns every metric of the task on a split.

        Args:
            examples: the split.
            temperature: what logits are divided by to be calibrated, for the figures after it.
        """
        metrics: dict[str, float | str] = dict(self.evaluate(examples))
        found = self._predictions(examples)
        if found is None:
            return Report(metrics)
        metrics |= self.task.corpus_metrics(found, examples, self.info, self.options, temperature)
        if not hasattr(self.task, "confusion_matrix"):
            return Report(metrics)
        return Report(metrics, self.task.confusion_matrix(found, examples, self.info))

    def corpus_metrics(self, examples: Examples) -> dict[str, float | str]:
        """Returns the metrics of the task that need whole predictions; signatures are texts."""
        found = self._predictions(examples)
        return {} if found is None else self.task.corpus_metrics(found, examples, self.info, self.options)

    def fit_temperature(self, examples: Examples) -> float | None:
        """Returns the temperature that calibrates the model on a split; None where there is none to fit."""
        if not hasattr(self.task, "fit_temperature"):
            return None
        found = self._predictions(examples)
        return None if found is None else self.task.fit_temperature(found, examples)

    def _predictions(self, examples: Examples) -> Any:
        return self.task.predictions(self.predict, examples, self.info, self.sizes)

    def rows(self, examples: Examples, count: int) -> list[dict[str, str]]:
        """Returns sample predictions for people, one dict a row."""
        return self.task.rows(self.predict, examples, self.info, self.sizes, count)

    def attention_rows(self, examples: Examples, count: int) -> list[dict]:
        """Returns where the model attends in samples, one dict a row; none where the task shows none."""
        return self._attention_rows(examples, count) if self._attention_rows else []

    def attention_picture(self, examples: Examples, count: int) -> np.ndarray | None:
        """Returns where the model attends in samples, <uint8>[height, width, 3]; None where none is drawn."""
        return self._attention_picture(examples, count) if self._attention_picture else None

    @functools.cached_property
    def _attention_picture(self) -> Callable[[Examples, int], np.ndarray] | None:
        make = getattr(self.task, "attention_picture", None)
        return make(self.model, self.info) if make else None

    @functools.cached_property
    def _attention_rows(self) -> Callable[[Examples, int], list[dict]] | None:
        make = getattr(self.task, "attention_rows", None)
        return make(self.model, self.info) if make else None
