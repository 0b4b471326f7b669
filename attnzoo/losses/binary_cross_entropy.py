"""Binary cross entropy for multi-label classification."""

from __future__ import annotations

import tensorflow as tf


def binary_cross_entropy(
    logits: tf.Tensor,
    labels: tf.Tensor,
    label_smoothing: float = 0.0,
    positive_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Mean over the classes of the binary cross entropy.

        loss = mean over classes of -a (t log p + (1 - t) log(1 - p))      p = sigmoid(logits)
        t = (1 - s) label + s / 2        a = w if label is 1, else 1

    Args:
        logits: <float32>[batch, classes].
        labels: <float32>[batch, classes], 0 or 1.
        label_smoothing: s, 0 to 1.
        positive_weights: w <float32>[classes], weight of the examples that have a label; None for 1.

    Returns:
        <float32>[batch], in nats per class.

    Examples:
        >>> float(binary_cross_entropy(tf.constant([[0.0]]), tf.constant([[1.0]]))[0])  # log 2
        0.6931...
        >>> weights = tf.constant([3.0])
        >>> float(binary_cross_entropy(tf.constant([[0.0]]), tf.constant([[1.0]]), 0.0, weights)[0])
        2.0794...
    """
    smooth = (1.0 - label_smoothing) * labels + 0.5 * label_smoothing
    losses = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)  # [batch, classes]
    if positive_weights is not None:
        losses *= tf.where(labels > 0.5, positive_weights, 1.0)
    return tf.reduce_mean(losses, axis=-1)
