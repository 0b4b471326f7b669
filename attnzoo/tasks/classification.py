"""What text and image classification share: one label out of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import DataInfo
from attnzoo.tasks import scoring

MONITOR = "accuracy"
HIGHER_IS_BETTER = True
COUNTED = "examples"


def sums(
    model: keras.Model,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
) -> dict[str, tf.Tensor]:
    """Cross entropy (nats an example) and accuracy.

    Args:
        model: gives logits <float>[batch, classes].
        inputs: what it takes.
        targets: `labels` <int32>[batch] and `weights` <float32>[batch].
        training: whether dropout is on.
        label_smoothing: see `scoring.smoothed_cross_entropy`.
    """
    outputs = model(inputs, training=training)
    labels, weights = targets["labels"], targets["weights"]
    losses = scoring.smoothed_cross_entropy(outputs, labels, label_smoothing)
    right = tf.equal(tf.argmax(outputs, axis=-1, output_type=tf.int32), labels)
    return {"loss": scoring.ratio(losses, weights), "accuracy": scoring.ratio(right, weights)}


def predictor(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, xla: bool
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Returns a compiled function from inputs to probabilities <float32>[batch, classes], their mean."""

    @tf.function(autograph=False)
    def predict(inputs):
        each = [tf.nn.softmax(tf.cast(model(inputs, training=False), tf.float32)) for model in models]
        return tf.add_n(each) / len(each)

    return predict


def corpus_metrics(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, options: EvalOptions
) -> dict[str, float]:
    """Nothing: all metrics of classification are sums over examples."""
    return {}


def label_rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[tuple[int, dict[str, str]]]:
    """Returns (index of the example, label and prediction) of the first `count` predicted examples."""
    rows: list[tuple[int, dict[str, str]]] = []
    plans = pipeline.evaluation_plans(examples, info, sizes)
    for inputs, targets in pipeline.batches(examples, info, plans):
        real = int(tf.math.count_nonzero(targets["weights"]))
        indices, values = targets["indices"].numpy()[:real], predict(inputs).numpy()[:real]
        for index, row in zip(indices, values, strict=True):
            best = int(row.argmax())
            label = info.labels[int(examples.labels[index])]
            shown = {"label": label, "predicted": info.labels[best], "probability": f"{row[best]:.3f}"}
            rows.append((int(index), shown))
            if len(rows) == count:
                return rows
    return rows


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
