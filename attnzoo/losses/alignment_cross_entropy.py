"""Cross entropy between attention weights and a word alignment."""

from __future__ import annotations

import tensorflow as tf

MIN_ATTENTION = 1e-9
"""Lower bound of the attention weights inside the logarithm."""


def alignment_cross_entropy(attention: tf.Tensor, guide: tf.Tensor) -> tf.Tensor:
    """Sum of the cross entropies between the attention of each target token and its aligned source tokens.

        loss = -sum_ij guide_ij log attention_ij

    Args:
        attention: <float32>[batch, target, source], rows sum to 1.
        guide: <float32>[batch, target, source], target distribution of each row times the weight of the row;
            rows of 0 have no alignment.

    Returns:
        <float32>[], in nats.

    Reference: guided alignment training: Chen et al. 2016, https://arxiv.org/abs/1607.01628

    Examples:
        >>> float(alignment_cross_entropy(tf.constant([[[0.5, 0.5]]]), tf.constant([[[1.0, 0.0]]])))  # log 2
        0.6931...
    """
    return -tf.reduce_sum(guide * tf.math.log(tf.maximum(attention, MIN_ATTENTION)))
