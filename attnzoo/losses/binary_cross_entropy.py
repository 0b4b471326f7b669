"""Binary cross entropy for multi-label classification."""

from __future__ import annotations

import tensorflow as tf


def binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Mean over the classes of the binary cross entropy.

        loss = mean over classes of -(t log p + (1 - t) log(1 - p))        p = sigmoid(logits)
        t = (1 - s) label + s / 2

    Args:
        logits: <float32>[batch, classes].
        labels: <float32>[batch, classes], 0 or 1.
        label_smoothing: s, 0 to 1.

    Returns:
        <float32>[batch], in nats per class.

    Examples:
        >>> float(binary_cross_entropy(tf.constant([[0.0]]), tf.constant([[1.0]]))[0])  # log 2
        0.6931...
    """
    smooth = (1.0 - label_smoothing) * labels + 0.5 * label_smoothing
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits), axis=-1)
