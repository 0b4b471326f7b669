"""R-Drop: two passes over the same examples with different dropout are drawn together."""

from __future__ import annotations

from typing import TypeVar

import tensorflow as tf

Nest = TypeVar("Nest")


def twice(batch: Nest) -> Nest:
    """Returns a nest of tensors [batch, ...] with its examples twice, [2 batch, ...]: two halves."""
    return tf.nest.map_structure(lambda part: tf.concat([part, part], 0), batch)


def divergence(log_probabilities: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of the first half of the rows and the second, the mean of both directions.

        J(p, q) = sum over classes of (p - q) (log p - log q) / 2

    Args:
        log_probabilities: <float32>[2 batch, ..., classes], of two passes over the same examples.

    Returns:
        <float32>[batch, ...], nats.

    Reference: Liang et al. 2021, https://arxiv.org/abs/2106.14448

    Examples:
        >>> float(divergence(tf.math.log([[0.5, 0.5], [0.5, 0.5]]))[0])
        0.0
    """
    first, second = tf.split(log_probabilities, 2)
    return 0.5 * tf.reduce_sum((tf.exp(first) - tf.exp(second)) * (first - second), axis=-1)
