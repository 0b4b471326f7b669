"""Cross entropy of attention against where it ought to be."""

from __future__ import annotations

import tensorflow as tf

MIN_ATTENTION = 1e-9
"""Attention to a source token that is told from none."""


def alignment_cross_entropy(attention: tf.Tensor, guide: tf.Tensor) -> tf.Tensor:
    """Cross entropy of the attention of each target token against its aligned source tokens, summed.

        loss = -sum_ij guide_ij log attention_ij

    Args:
        attention: <float32>[batch, target, source], rows sum to 1.
        guide: <float32>[batch, target, source], what each row ought to be times its weight; 0 without a link.

    Returns:
        <float32>[], nats.

    Reference: guided alignment: Chen et al. 2016, https://arxiv.org/abs/1607.01628

    Examples:
        >>> float(alignment_cross_entropy(tf.constant([[[0.5, 0.5]]]), tf.constant([[[1.0, 0.0]]])))  # log 2
        0.6931...
    """
    return -tf.reduce_sum(guide * tf.math.log(tf.maximum(attention, MIN_ATTENTION)))
