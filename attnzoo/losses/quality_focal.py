"""Quality focal loss: a focal loss whose labels are numbers between 0 and 1."""

from __future__ import annotations

import tensorflow as tf


def quality_focal(logits: tf.Tensor, scores: tf.Tensor, gamma: float = 2.0) -> tf.Tensor:
    """Binary cross entropy with soft labels that counts less the nearer the answer is.

        loss = -|s - p|^g (s log p + (1 - s) log(1 - p))        p = sigmoid(logit)

    Args:
        logits: <float>[..., classes].
        scores: s, <float32>[..., classes], 0 to 1: the quality of the box for its class, 0 for background.
        gamma: g, 0 or more; 0 for the cross entropy.

    Returns:
        <float32>[..., classes], nats.

    Reference: Li et al. 2020, https://arxiv.org/abs/2006.04388

    Examples:
        >>> float(quality_focal(tf.constant([0.0]), tf.constant([1.0]))[0])  # 0.5^2 * log 2
        0.173...
        >>> round(float(quality_focal(tf.constant([0.0]), tf.constant([0.5]))[0]), 9)  # a right answer
        0.0
    """
    logits = tf.cast(logits, tf.float32)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(scores, logits)
    # The gradient of a power below 1 is infinite at 0.
    distance = tf.maximum(tf.abs(scores - tf.sigmoid(logits)), 1e-6)
    return distance**gamma * entropy
