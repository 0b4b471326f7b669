"""What text and image classification share: one label out of several."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import MULTI_LABEL, DataInfo
from attnzoo.tasks import classification_scores, scoring

__all__ = [
    "COUNTED",
    "HIGHER_IS_BETTER",
    "MONITOR",
    "confusion_matrix",
    "corpus_metrics",
    "fit_temperature",
    "predictions",
    "predictor",
    "sums",
]

MONITOR = "accuracy"
HIGHER_IS_BETTER = True
COUNTED = "examples"

THRESHOLD = 0.5
"""Probability from which on a text of several labels has a label."""
MOST_CLASSES = 1000
"""Most classes whose probabilities are held for all examples of a split, and whose confusions are counted."""


def sums(
    model: keras.Model,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
    r_drop: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Cross entropy (nats an example) and accuracy.

    Args:
        model: gives logits <float>[batch, classes].
        inputs: what it takes.
        targets: `labels` <int32>[batch] and `weights` <float32>[batch]; `loss_weights` <float32>[batch]
            where classes have weights; `other_labels` <int32>[batch] and `label_shares` <float32>[batch]
            where images are mixed.
        training: whether dropout is on.
        label_smoothing: see `scoring.smoothed_cross_entropy`.
        r_drop: weight of `divergence` (nats a pair) in the loss; above 0 the batch is two equal halves.
    """
    outputs = model(inputs, training=training)
    labels, weights = targets["labels"], targets["weights"]
    losses = scoring.smoothed_cross_entropy(outputs, labels, label_smoothing)
    if "other_labels" in targets:
        others = scoring.smoothed_cross_entropy(outputs, targets["other_labels"], label_smoothing)
        losses = others + targets["label_shares"] * (losses - others)
    right = tf.equal(tf.argmax(outputs, axis=-1, output_type=tf.int32), labels)
    loss_weights = targets.get("loss_weights", weights)
    found = {"loss": scoring.ratio(losses, loss_weights), "accuracy": scoring.ratio(right, weights)}
    if r_drop:
        apart = scoring.divergences(tf.nn.log_softmax(tf.cast(outputs, tf.float32)))
        return scoring.with_divergence(found, apart, loss_weights, r_drop)
    return found


def predictor(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, xla: bool
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Returns a compiled function from inputs to probabilities <float64>[batch, classes], their mean."""
    return mean_probabilities(models, tf.nn.softmax)


def mean_probabilities(
    models: Sequence[keras.Model], activation: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Returns a compiled function from inputs to the mean of the models' probabilities.

    In float32 the probabilities of sure models would round to 0, which has no logarithm.

    Args:
        models: give logits <float>[batch, classes].
        activation: from logits to probabilities, both <float64>[batch, classes].
    """

    @tf.function(autograph=False)
    def predict(inputs):
        each = [activation(tf.cast(model(inputs, training=False), tf.float64)) for model in models]
        return tf.add_n(each) / len(each)

    return predict


def predictions(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes
) -> np.ndarray | None:
    """Returns the probabilities <float64>[examples, classes] of a split; None for too many classes."""
    if info.num_classes > MOST_CLASSES:
        return None
    found = np.zeros((len(examples), info.num_classes))
    for indices, values in _predicted(predict, examples, info, sizes):
        found[indices] = values
    return found


def corpus_metrics(
    found: np.ndarray,
    examples: Examples,
    info: DataInfo,
    options: EvalOptions,
    temperature: float | None = None,
) -> dict[str, float]:
    """What `classification_scores.scores` gives of the probabilities of a split."""
    return classification_scores.scores(found, examples.labels, temperature)


def confusion_matrix(found: np.ndarray, examples: Examples, info: DataInfo) -> np.ndarray:
    """Returns what `classification_scores.confusion_matrix` gives of the probabilities of a split."""
    return classification_scores.confusion_matrix(found, examples.labels)


def fit_temperature(found: np.ndarray, examples: Examples) -> float | None:
    """Returns the temperature of `classification_scores.fit_temperature` for the probabilities of a split."""
    return classification_scores.fit_temperature(found, examples.labels)


def _predicted(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields indices <int32>[batch] of examples and their probabilities <float64>[batch, classes]."""
    plans = pipeline.evaluation_plans(examples, info, sizes)
    for inputs, targets in pipeline.batches(examples, info, plans):
        real = int(tf.math.count_nonzero(targets["weights"]))
        yield targets["indices"].numpy()[:real], predict(inputs).numpy()[:real]


def first_predicted(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[tuple[int, np.ndarray]]:
    """Returns (index, probabilities <float64>[classes]) of the first `count` predicted examples."""
    each = (
        (int(index), row)
        for indices, values in _predicted(predict, examples, info, sizes)
        for index, row in zip(indices, values, strict=True)
    )
    return list(itertools.islice(each, count))


def label_rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[tuple[int, dict[str, str]]]:
    """Returns (index of the example, label and prediction) of the first `count` predicted examples."""
    rows = []
    for index, values in first_predicted(predict, examples, info, sizes, count):
        best = int(values.argmax())
        label = info.labels[int(examples.labels[index])]
        shown = {"label": label, "predicted": info.labels[best], "probability": f"{values[best]:.3f}"}
        rows.append((index, shown))
    return rows


def names_of(label: np.ndarray | int, info: DataInfo) -> list[str]:
    """Returns the labels of an example.

    Args:
        label: its class <int>[], or of tasks of several labels their probability, 0 or 1 where they are
            known, <float>[classes].
        info: names the labels.
    """
    if info.task != MULTI_LABEL:
        return [info.labels[int(label)]]
    return [name for name, value in zip(info.labels, np.asarray(label), strict=True) if value >= THRESHOLD]


def names_said(probabilities: np.ndarray, info: DataInfo) -> list[str]:
    """Returns the labels that a model says with its probabilities <float>[classes]."""
    return names_of(probabilities if info.task == MULTI_LABEL else int(probabilities.argmax()), info)


def answer(logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns what an exported classifier answers.

    Args:
        logits: <float>[batch, classes].
        labels: <string>[classes], class names.

    Returns:
        `label` <string>[batch], `probability` <float32>[batch] of that label, and `probabilities`
        <float32>[batch, classes].
    """
    values = tf.nn.softmax(tf.cast(logits, tf.float32))
    best = tf.argmax(values, axis=-1)
    return {
        "label": tf.gather(labels, best),
        "probability": tf.reduce_max(values, axis=-1),
        "probabilities": values,
    }
