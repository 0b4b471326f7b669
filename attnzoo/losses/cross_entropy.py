"""Cross entropy for single-label classification."""

from __future__ import annotations

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross entropy with label smoothing: a fraction of the target probability is uniform over all classes.

        loss = (1 - s) * -log p[label] + s * mean over classes of -log p        p = softmax(logits)

    Args:
        logits: <float>[..., classes].
        labels: <int32>[...], class indices.
        label_smoothing: s, 0 to 1.

    Returns:
        <float32>[...], in nats.

    Reference: label smoothing: Szegedy et al. 2016, section 7, https://arxiv.org/abs/1512.00567

    Examples:
        >>> float(cross_entropy(tf.constant([[0.0, 0.0]]), tf.constant([1]))[0])  # log 2
        0.6931...
    """
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if label_smoothing == 0.0:
        return losses
    log_normalizer = tf.reduce_logsumexp(logits, axis=-1)
    uniform = log_normalizer - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * losses + label_smoothing * uniform
