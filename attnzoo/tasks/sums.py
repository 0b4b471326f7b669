"""Sums that metrics are ratios of: those of batches and replicas add up to those of everything."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from attnzoo.losses.vocabulary_cross_entropy import VocabularyLoss


def ratio(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns <float32>[2]: the weighted sum of `values` and the sum of `weights` (equal shapes)."""
    weights = tf.cast(weights, tf.float32)
    return tf.stack([tf.reduce_sum(tf.cast(values, tf.float32) * weights), tf.reduce_sum(weights)])


def token_sums(loss: VocabularyLoss, weights: tf.Tensor, r_drop: float) -> dict[str, tf.Tensor]:
    """Returns `loss` and `token_accuracy` of rows of `weights` <float32>[rows]; `divergence` with R-Drop."""
    count = tf.reduce_sum(weights)
    sums = {"loss": tf.stack([loss.loss, count]), "token_accuracy": tf.stack([loss.correct, count])}
    if r_drop:
        sums["divergence"] = tf.stack([loss.divergence, 0.5 * count])
    return sums


def with_divergence(
    sums: dict[str, tf.Tensor], divergences: tf.Tensor, weights: tf.Tensor, r_drop: float
) -> dict[str, tf.Tensor]:
    """Adds what R-Drop asks for to the sums of a classifier.

    Args:
        sums: with `loss`; `divergence` (nats a pair) is added to them, and `r_drop` times it to the loss.
        divergences: <float32>[batch / 2], see `losses.r_drop`.
        weights: <float32>[batch], those of the loss; of two equal halves.
        r_drop: weight of the divergence.
    """
    divergence = ratio(divergences, tf.split(weights, 2)[0])
    return {**sums, "loss": sums["loss"] + tf.stack([r_drop * divergence[0], 0.0]), "divergence": divergence}


def to_metrics(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns numerator / denominator of every metric, and the perplexity where the loss is one of tokens."""
    metrics = {name: float(pair[0] / pair[1]) if pair[1] else math.nan for name, pair in sums.items()}
    if "token_accuracy" in metrics:
        metrics["perplexity"] = math.exp(min(metrics["loss"], 700.0))
    return metrics
