"""Metrics as ratios of sums, which add up exactly over batches and replicas."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from attnzoo.losses.vocabulary_cross_entropy import VocabularyLoss


def ratio(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns <float32>[2]: the weighted sum of `values` and the sum of `weights` (of equal shapes).

    Examples:
        >>> ratio(tf.constant([1.0, 3.0, 5.0]), tf.constant([1.0, 1.0, 0.0])).numpy()
        array([4., 2.], dtype=float32)
    """
    weights = tf.cast(weights, tf.float32)
    return tf.stack([tf.reduce_sum(tf.cast(values, tf.float32) * weights), tf.reduce_sum(weights)])


def token_sums(loss: VocabularyLoss, weights: tf.Tensor, r_drop: float) -> dict[str, tf.Tensor]:
    """Returns `loss` and `token_accuracy` of weighted rows <float32>[rows], with R-Drop also `divergence`."""
    count = tf.reduce_sum(weights)
    sums = {"loss": tf.stack([loss.loss, count]), "token_accuracy": tf.stack([loss.correct, count])}
    if r_drop:
        sums["divergence"] = tf.stack([loss.divergence, 0.5 * count])
    return sums


def with_divergence(
    sums: dict[str, tf.Tensor], divergences: tf.Tensor, weights: tf.Tensor, r_drop: float
) -> dict[str, tf.Tensor]:
    """Returns the sums of a classifier with the R-Drop loss added.

    Args:
        sums: sums with `loss`, to which `r_drop` times the divergence is added; `divergence` (nats per pair)
            is a new entry.
        divergences: <float32>[batch / 2], see `losses.r_drop`.
        weights: <float32>[batch], weights of the loss; both halves are equal.
        r_drop: weight of the divergence.
    """
    divergence = ratio(divergences, tf.split(weights, 2)[0])
    return {**sums, "loss": sums["loss"] + tf.stack([r_drop * divergence[0], 0.0]), "divergence": divergence}


def to_metrics(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns numerator / denominator of each metric, and the perplexity if the loss is per token.

    Examples:
        >>> to_metrics({"accuracy": np.array([3.0, 4.0])})
        {'accuracy': 0.75}
    """
    metrics = {name: float(pair[0] / pair[1]) if pair[1] else math.nan for name, pair in sums.items()}
    if "token_accuracy" in metrics:
        metrics["perplexity"] = math.exp(min(metrics["loss"], 700.0))
    return metrics
