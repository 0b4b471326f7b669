"""Additive attention."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.base import check_positive
from attnzoo.attention.memory import SoftmaxAttention
from attnzoo.attention.options import DROPOUT, MechanismOptions
from attnzoo.attention.precision import at_least_float32
from attnzoo.attention.shapes import split_heads
from attnzoo.config.base import PositiveInt, Rate


class Config(MechanismOptions):
    """Options of `AdditiveAttention`."""

    name: Literal["additive"] = Field(
        "additive", description="Additive attention (Bahdanau): v . tanh(W1 key + W2 query)."
    )
    hidden_units: PositiveInt = Field(64, description="Width of the tanh layer that scores query and key.")
    dropout: Rate = Field(0.0, description=DROPOUT)


@keras.saving.register_keras_serializable("attnzoo")
class AdditiveAttention(SoftmaxAttention):
    """Additive (Bahdanau) attention: a small feed-forward network scores each query and key.

        e_ik = v^T tanh(W_1 key_k + W_2 query_i)
        weights = softmax_k(e)        output_i = sum_k weights_ik value_k

    Memory: it materializes <float>[batch, query, key, hidden_units].

    Args:
        units: width of query, value and output, 1 or more.
        hidden_units: width of the tanh layer, 1 or more.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; the key may have any width.

    Raises:
        ValueError: the value is not `units` wide; also raises what `SoftmaxAttention` raises.

    Reference: Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473

    Examples:
        >>> layer = AdditiveAttention(units=8, hidden_units=16)
        >>> query, memory = tf.random.normal([2, 5, 8]), tf.random.normal([2, 7, 8])
        >>> outputs, weights = layer(query, memory, return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 8]), TensorShape([2, 1, 5, 7]))
    """

    def __init__(self, units: int, hidden_units: int = 64, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, dropout, **kwargs)
        self.hidden_units = check_positive("hidden_units", hidden_units)
        self.query_projection = self._projection(hidden_units, "query")
        # One bias inside the tanh is enough, and a bias after v would not change the softmax.
        self.key_projection = self._projection(hidden_units, "key", use_bias=False)
        self.score_projection = self._projection(1, "score", use_bias=False)

    @property
    def memory_dims(self):
        """Number of heads, key_dim and value_dim of a memory."""
        return (1, self.hidden_units, self.units)

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        self._check_width("value", value_shape)
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.score_projection.build((None, self.hidden_units))

    def project_query(self, query, position=0):
        """Returns W_2 query, <float>[batch, 1, query, hidden_units]."""
        return split_heads(self.query_projection(query), 1)

    def project_memory(self, key, value, position=0):
        """Returns W_1 key, <float>[batch, 1, key, hidden_units], and value, <float>[batch, 1, key, units]."""
        return split_heads(self.key_projection(key), 1), self.as_single_head(value)

    def logits(self, query, key):
        """Returns e, <float32>[batch, 1, query, key]."""
        return additive_logits(query, key, self.score_projection)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_units": self.hidden_units}


def additive_logits(query: tf.Tensor, key: tf.Tensor, score_projection: keras.layers.Dense) -> tf.Tensor:
    """Returns v^T tanh(query_i + key_k), <float32>[batch, 1, query, key].

    Args:
        query: <float>[batch, 1, query, hidden], projected.
        key: <float>[batch, 1, key, hidden], projected.
        score_projection: dense layer that multiplies by v.
    """
    hidden = tf.tanh(query[:, :, :, None] + key[:, :, None])  # [batch, 1, query, key, hidden]
    return at_least_float32(tf.squeeze(score_projection(hidden), axis=-1))
