"""Text in, any number of labels out: each is a question of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn import metrics

from attnzoo.config.sections import EvalOptions
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import DataInfo
from attnzoo.tasks import answers, classification, scoring, text_classification
from attnzoo.tasks.answers import Request
from attnzoo.tasks.classification import THRESHOLD

MONITOR = "loss"
HIGHER_IS_BETTER = False
COUNTED = "examples"

predictions = classification.predictions
attention_rows = text_classification.attention_rows


def sums(
    model: keras.Model,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
    r_drop: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Binary cross entropy (nats a label, their mean over the labels) and the share of texts all right.

    Args:
        model: gives logits <float>[batch, classes].
        inputs: what it takes.
        targets: `labels` <float32>[batch, classes], 0 or 1, and `weights` <float32>[batch].
        training: whether dropout is on.
        label_smoothing: share s of a target that becomes 1/2: 1 - s / 2 in place of 1.
        r_drop: weight of `divergence` (nats a pair and label) in the loss; above 0 the batch is two equal
            halves.
    """
    logits = tf.cast(model(inputs, training=training), tf.float32)
    labels, weights = targets["labels"], targets["weights"]
    smooth = (1.0 - label_smoothing) * labels + 0.5 * label_smoothing
    losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits), axis=-1)
    right = tf.reduce_all(tf.equal(logits >= 0.0, labels > 0.5), axis=-1)
    found = {"loss": scoring.ratio(losses, weights), "exact_match": scoring.ratio(right, weights)}
    if r_drop:
        both = tf.math.log_sigmoid(tf.stack([logits, -logits], axis=-1))  # [batch, classes, 2]
        apart = tf.reduce_mean(scoring.divergences(both), axis=-1)
        return scoring.with_divergence(found, apart, weights, r_drop)
    return found


def predictor(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, xla: bool
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Returns a compiled function from inputs to probabilities <float64>[batch, classes], their mean."""
    return classification.mean_probabilities(models, tf.sigmoid)


def corpus_metrics(
    found: np.ndarray,
    examples: Examples,
    info: DataInfo,
    options: EvalOptions,
    temperature: float | None = None,
) -> dict[str, float]:
    """Scores the probabilities <float64>[examples, classes] of a split.

    Returns:
        `macro_f1` (mean over the labels that occur or are predicted) and `micro_f1` (of all decisions) at a
        threshold of 1/2, and `average_precision`, the area under the curve of precision and recall over all
        decisions, which needs no threshold.
    """
    truth, said = examples.labels > 0.5, found >= THRESHOLD
    used = np.flatnonzero(truth.any(axis=0) | said.any(axis=0))
    by_label = (
        metrics.f1_score(truth, said, labels=used, average="macro", zero_division=0.0) if len(used) else 0.0
    )
    return {
        "macro_f1": float(by_label),
        "micro_f1": float(metrics.f1_score(truth, said, average="micro", zero_division=0.0)),
        "average_precision": float(metrics.average_precision_score(truth.ravel(), found.ravel()))
        if truth.any()
        else 0.0,
    }


def rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` texts with their labels and those that the model says."""
    texts = examples.raw.columns["text"]
    found = classification.first_predicted(predict, examples, info, sizes, count)
    return [
        {
            "text": texts[index][: text_classification.SHOWN_CHARACTERS],
            "labels": ", ".join(classification.names_of(examples.labels[index], info)),
            "predicted": ", ".join(classification.names_said(values, info)),
        }
        for index, values in found
    ]


def answerer(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, request: Request
) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    """Returns a function from texts to an answer each.

    An answer has `labels` (those with a probability of 1/2 or more), `probabilities` by label, and `cut`:
    whether the text was longer than the longest bucket.
    """

    def describe(values: np.ndarray) -> dict[str, Any]:
        by_label = dict(zip(info.labels, map(float, values), strict=True))
        return {"labels": classification.names_said(values, info), "probabilities": by_label}

    return answers.by_text(predictor(models, info, options, bool(request.xla)), info, describe)


class Serving(text_classification.Serving):
    """Raw strings in, the probability of each label out."""

    @staticmethod
    def answer(logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `probabilities` <float32>[batch, classes] and `has_label` <bool>[batch, classes]."""
        values = tf.sigmoid(tf.cast(logits, tf.float32))
        return {"probabilities": values, "has_label": values >= THRESHOLD}


def serving(model: keras.Model, info: DataInfo, options: EvalOptions) -> Serving:
    """Returns the module to export."""
    return Serving(model, info)
