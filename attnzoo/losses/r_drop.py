"""R-Drop: a regularizer that makes two passes with different dropout masks agree."""

from __future__ import annotations

from typing import TypeVar

import tensorflow as tf

Nest = TypeVar("Nest")


def duplicate(batch: Nest) -> Nest:
    """Repeats the examples of a nest of tensors: [batch, ...] becomes [2 * batch, ...], two equal halves.

    Examples:
        >>> duplicate({"text": tf.constant([1, 2])})["text"].numpy().tolist()
        [1, 2, 1, 2]
    """
    return tf.nest.map_structure(lambda tensor: tf.concat([tensor, tensor], 0), batch)


def divergence(log_probabilities: tf.Tensor) -> tf.Tensor:
    """Symmetric Kullback-Leibler divergence between the first and the second half of the rows.

        J(p, q) = sum over classes of (p - q) (log p - log q) / 2

    Args:
        log_probabilities: <float32>[2 * batch, ..., classes], from two passes over the same examples.

    Returns:
        The mean of both directions, <float32>[batch, ...], in nats.

    Reference: Liang et al. 2021, https://arxiv.org/abs/2106.14448

    Examples:
        >>> float(divergence(tf.math.log([[0.5, 0.5], [0.5, 0.5]]))[0])
        0.0
    """
    first, second = tf.split(log_probabilities, 2)
    return 0.5 * tf.reduce_sum((tf.exp(first) - tf.exp(second)) * (first - second), axis=-1)
