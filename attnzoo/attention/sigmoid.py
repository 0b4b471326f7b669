"""Attention with normalized sigmoid weights."""

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
    """Options of `SigmoidAttention`."""

    name: Literal["sigmoid"] = Field(
        "sigmoid", description="Sigmoid attention: sigmoid(query . key), normalized over the keys."
    )
    hidden_units: PositiveInt = Field(64, description="Width of the projected query and key.")
    dropout: Rate = Field(0.0, description=DROPOUT)


@keras.saving.register_keras_serializable("attnzoo")
class SigmoidAttention(SoftmaxAttention):
    """Sigmoid attention, normalized over the keys.

        S = (W_q query) (W_k key)^T / sqrt(hidden_units)
        A_ik = sigmoid(S_ik) / sum_j sigmoid(S_ij)        output = A (W_v value)

    A sigmoid is at most 1, so unlike in a softmax a single key cannot take nearly all of the weight. Computed
    as the softmax of log sigmoid(S), which is equal and sums to 1 even if every sigmoid rounds to 0.

    Args:
        units: width of query and output, 1 or more.
        hidden_units: width of the projected query and key, 1 or more.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; key and value may have any width.

    Raises:
        ValueError: see `SoftmaxAttention`.

    Examples:
        >>> layer = SigmoidAttention(units=8, hidden_units=16)
        >>> query, memory = tf.random.normal([2, 5, 8]), tf.random.normal([2, 7, 8])
        >>> outputs, weights = layer(query, memory, return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 8]), TensorShape([2, 1, 5, 7]))
    """

    def __init__(self, units: int, hidden_units: int = 64, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, dropout, **kwargs)
        self.hidden_units = check_positive("hidden_units", hidden_units)
        self.query_projection = self._projection(hidden_units, "query")
        self.key_projection = self._projection(hidden_units, "key")
        self.value_projection = self._projection(units, "value")

    @property
    def memory_dims(self):
        """Number of heads, key_dim and value_dim of a memory."""
        return (1, self.hidden_units, self.units)

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(value_shape)

    def project_query(self, query, position=0):
        """Returns W_q query, <float>[batch, 1, query, hidden_units]."""
        return split_heads(self.query_projection(query), 1)

    def project_memory(self, key, value, position=0):
        """Returns W_k key <float>[batch, 1, key, hidden_units], W_v value <float>[batch, 1, key, units]."""
        return split_heads(self.key_projection(key), 1), split_heads(self.value_projection(value), 1)

    def logits(self, query, key):
        """Returns log sigmoid(S), <float32>[batch, 1, query, key]."""
        products = tf.einsum("bhqd,bhkd->bhqk", at_least_float32(query), at_least_float32(key))
        return tf.math.log_sigmoid(products * self.hidden_units**-0.5)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_units": self.hidden_units}
