"""Writing a target sequence token by token, with static shapes and key/value caches."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.info import END, PADDING, START
from attnzoo.layers.encoder_decoder import EncoderDecoder


def greedy(model: EncoderDecoder, source: tf.Tensor, max_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the most likely token at every position; stops when every row has ended.

    Args:
        model: an encoder-decoder.
        source: <int32>[batch, source], 0 is padding.
        max_length: most target tokens, END included.

    Returns:
        Tokens <int32>[batch, max_length], padding after END, and where each one attended
        <float32>[batch, max_length, source].
    """
    batch, source_length = tf.shape(source)[0], tf.shape(source)[1]
    encoded, source_mask = model.encode(source, training=False)
    caches = model.start(encoded, max_length)

    def unfinished(position, token, finished, tokens, alignment, caches):
        return tf.logical_and(position < max_length, tf.reduce_any(~finished))

    def advance(position, token, finished, tokens, alignment, caches):
        logits, caches, attended = model.step(token, caches, position, source_mask)
        token = tf.where(finished, PADDING, tf.argmax(logits, axis=-1, output_type=tf.int32))
        at_position = tf.range(max_length) == position  # [max_length]
        tokens = tf.where(at_position[None, :], token[:, None], tokens)
        alignment = tf.where(at_position[None, :, None], attended[:, None, :], alignment)
        return position + 1, token, finished | (token == END), tokens, alignment, caches

    _, _, _, tokens, alignment, _ = tf.while_loop(
        unfinished,
        advance,
        (
            tf.constant(0),
            tf.fill([batch], START),
            tf.fill([batch], False),
            tf.zeros([batch, max_length], tf.int32),
            tf.zeros([batch, max_length, source_length], tf.float32),
            caches,
        ),
    )
    return tokens, alignment
