"""Masked tokens: what a model of texts learns from texts alone."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.special_tokens import NUM_SPECIAL, PADDING, START

MASK = START
"""The id that stands for a masked token; no text of one feature has it."""
SHARE = 0.15
"""Of the tokens, those that are to be predicted."""
MASKED, RANDOM = 0.8, 0.1
"""Shares of those that are masked, and that are another token; the others stay."""


def mask(ids: tf.Tensor, seeds: tf.Tensor, vocabulary_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Hides tokens of texts.

    Args:
        ids: <int32>[batch, time].
        seeds: <int32>[batch, 2]: a text is masked alike for the same seed and length.
        vocabulary_size: number of token ids.

    Returns:
        What the model sees and what it is to predict, each <int32>[batch, time]; the second is PADDING where
        nothing is to be predicted.

    Reference: Devlin et al. 2019, section 3.1, https://arxiv.org/abs/1810.04805
    """
    time = tf.shape(ids)[1]
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([3, time], seed), seeds, fn_output_signature=tf.float32
    )  # [batch, 3, time]
    chosen = (draws[:, 0] < SHARE) & (ids >= NUM_SPECIAL)
    others = NUM_SPECIAL + tf.cast(draws[:, 2] * float(vocabulary_size - NUM_SPECIAL), tf.int32)
    others = tf.minimum(others, vocabulary_size - 1)  # a float32 may round up
    hidden = tf.where(draws[:, 1] < MASKED, MASK, tf.where(draws[:, 1] < MASKED + RANDOM, others, ids))
    return tf.where(chosen, hidden, ids), tf.where(chosen, ids, PADDING)
