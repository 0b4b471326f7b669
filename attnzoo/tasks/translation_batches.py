"""Inputs and targets of an encoder-decoder model."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import Row
from attnzoo.features.info import DataInfo
from attnzoo.special_tokens import END, PADDING, START
from attnzoo.text import token_links
from attnzoo.text.ragged import Ragged


def alignment_links(examples: Examples, info: DataInfo) -> Ragged:
    """Returns the alignment links between the tokens of each pair, see `text.token_links`.

    Raises:
        UserError: the tokens of a text are not the tokens of its words in sequence.
    """
    source, target = (
        token_links.Side(
            examples.raw.column(name),
            info.features[name].tokenizer,
            info.features[name].lengths(examples.encoded[name]) - 1,  # without END
        )
        for name in ("source", "target")
    )
    return token_links.token_links(examples.raw.column("alignment"), source, target)


def attention_targets(links: Ragged, row: Row) -> tf.Tensor:
    """Returns the reference attention of each target token, <float32>[batch, target, source]."""
    source, target = (tf.shape(row.values[name])[1] for name in ("source", "target"))
    return token_links.attention_targets(links, row.indices, source, target)


def restore_end(tokens: tf.Tensor) -> tf.Tensor:
    """Returns rows <int32>[batch, time] that end with END even if they were truncated."""
    last = tokens[:, -1:]
    return tf.concat([tokens[:, :-1], tf.where(last == PADDING, PADDING, END)], axis=1)


def shift_right(tokens: tf.Tensor) -> tf.Tensor:
    """Returns decoder inputs <int32>[batch, time] for targets `tokens`: START, then all but the last token.

    Examples:
        >>> shift_right(tf.constant([[7, 8, END]])).numpy().tolist() == [[START, 7, 8]]
        True
    """
    start = tf.fill([tf.shape(tokens)[0], 1], START)
    return tf.concat([start, tokens[:, :-1]], axis=1)
