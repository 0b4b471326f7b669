"""Which attention of a classifier is looked at, and how much of it each position receives."""

from __future__ import annotations

import keras
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.layers import scores as layer_scores


def choose_layer(model: keras.Model, name: str | None = None) -> str:
    """Returns the name of an attention of the model.

    Args:
        model: a classifier.
        name: of the layer; None for the one nearest to the output: the pooling where that is an attention,
            else the last block.

    Raises:
        UserError: the model has no attention over positions, or none of this name.
    """
    names = layer_scores.attention_names(model)
    if not names:
        raise UserError("the model of this run has no layer that attends to positions.")
    if name is not None and name not in names:
        raise UserError(f"--layer {name}: there is no such attention; expected one of {', '.join(names)}.")
    return name or names[-1]


def received(scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the attention that each position receives, <float32>[batch, positions].

    Args:
        scores: <float32>[batch, heads, query, positions]; of one query, as a pooling has, or of every one.
        valid: <bool>[batch, positions], False for padding.
    """
    weights = tf.reduce_mean(scores, axis=1)  # [batch, query, positions]
    if weights.shape[1] == 1:
        return weights[:, 0]
    queries = tf.cast(valid, weights.dtype)  # [batch, query]
    total = tf.einsum("bq,bqt->bt", queries, weights)
    return tf.math.divide_no_nan(total, tf.reduce_sum(queries, axis=1, keepdims=True))
