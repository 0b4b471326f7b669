"""Masked tokens for masked language modeling."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.special_tokens import NUM_SPECIAL, PADDING, START

MASK = START
"""Token id of a masked token; encoded texts never contain START."""
PREDICTED_FRACTION = 0.15
"""Fraction of the tokens that are to be predicted."""
MASKED_FRACTION, RANDOM_FRACTION = 0.8, 0.1
"""Fractions of these that are masked and replaced with a random token; the rest is unchanged."""


def mask(ids: tf.Tensor, seeds: tf.Tensor, vocabulary_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Masks random tokens of texts.

    Args:
        ids: <int32>[batch, time].
        seeds: <int32>[batch, 2], random seed of each text; the same seed and length give the same mask.
        vocabulary_size: number of token ids.

    Returns:
        (inputs, labels), each <int32>[batch, time]; labels are PADDING where nothing is to be predicted.

    Reference: Devlin et al. 2019, section 3.1, https://arxiv.org/abs/1810.04805

    Examples:
        >>> ids = tf.constant([[7, 8, 9, 0]])
        >>> inputs, labels = mask(ids, tf.constant([[1, 2]]), vocabulary_size=20)
        >>> inputs.shape, labels.shape
        (TensorShape([1, 4]), TensorShape([1, 4]))
    """
    time = tf.shape(ids)[1]
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([3, time], seed), seeds, fn_output_signature=tf.float32
    )  # [batch, 3, time]
    chosen = (draws[:, 0] < PREDICTED_FRACTION) & (ids >= NUM_SPECIAL)
    random_ids = NUM_SPECIAL + tf.cast(draws[:, 2] * float(vocabulary_size - NUM_SPECIAL), tf.int32)
    random_ids = tf.minimum(random_ids, vocabulary_size - 1)  # float32 may round up
    masked = tf.where(
        draws[:, 1] < MASKED_FRACTION,
        MASK,
        tf.where(draws[:, 1] < MASKED_FRACTION + RANDOM_FRACTION, random_ids, ids),
    )
    return tf.where(chosen, masked, ids), tf.where(chosen, ids, PADDING)
