"""Focal loss of any number of classes, each a question of its own."""

from __future__ import annotations

import tensorflow as tf


def focal(logits: tf.Tensor, labels: tf.Tensor, gamma: float = 2.0, alpha: float = 0.25) -> tf.Tensor:
    """Binary cross entropy that counts less the surer the answer is, so that easy background does not rule.

        loss = -a (1 - p)^g log p where the label is 1, else -(1 - a) p^g log(1 - p)        p = sigmoid(logit)

    Args:
        logits: <float>[..., classes].
        labels: <float32>[..., classes], 0 or 1.
        gamma: g, 0 or more; 0 for the cross entropy.
        alpha: a, the weight of label 1, 0 to 1.

    Returns:
        <float32>[..., classes], nats.

    Reference: Lin et al. 2017, https://arxiv.org/abs/1708.02002

    Examples:
        >>> float(focal(tf.constant([0.0]), tf.constant([1.0]))[0])  # 0.25 * 0.5^2 * log 2
        0.0433...
    """
    logits = tf.cast(logits, tf.float32)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    probability = tf.sigmoid(logits)
    # p for label 0, 1 - p for label 1; the gradient of a power below 1 is infinite at 0.
    wrong = tf.maximum(probability + labels * (1.0 - 2.0 * probability), 1e-6)
    return (1.0 - alpha + labels * (2.0 * alpha - 1.0)) * wrong**gamma * entropy
