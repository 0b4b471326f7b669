"""Dot-product attention."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from pydantic import Field

from attnzoo.attention.additive import additive_logits
from attnzoo.attention.memory import SoftmaxAttention
from attnzoo.attention.options import DROPOUT, MechanismOptions
from attnzoo.config.base import Rate

Score = Literal["dot", "scaled", "general", "concat"]


class Config(MechanismOptions):
    """Options of `DotProductAttention`."""

    name: Literal["dot_product"] = Field(
        "dot_product",
        description="Dot-product attention (Luong): query . key, or a learned score of the two.",
    )
    score: Score = Field(
        "scaled",
        description="Score function. dot: q . k; scaled: q . k / sqrt(units); general: q . W k; "
        "concat: v . tanh(W [q; k]).",
    )
    dropout: Rate = Field(0.0, description=DROPOUT)


@keras.saving.register_keras_serializable("attnzoo")
class DotProductAttention(SoftmaxAttention):
    """Dot-product (Luong) attention, with one of four score functions.

        dot:     e_ik = query_i . key_k
        scaled:  e_ik = query_i . key_k / sqrt(units)
        general: e_ik = query_i . W key_k
        concat:  e_ik = v . tanh(W [query_i; key_k])
        weights = softmax_k(e)        output_i = sum_k weights_ik value_k

    "concat" is `AdditiveAttention` without a bias: W [query_i; key_k] = W_q query_i + W_k key_k with the two
    halves of W, so nothing is concatenated. Only "concat" materializes <float>[batch, query, key, units].

    Args:
        units: width of query, value and output, 1 or more.
        score: score function: "dot", "scaled", "general" or "concat".
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; for "general" and "concat" the key may have any width.

    Raises:
        ValueError: unknown `score`, or the value (for "dot" and "scaled" also the key) is not `units` wide;
            a `kernel_initializer` for "dot" or "scaled", which have no kernels; also raises what
            `SoftmaxAttention` raises.

    Reference: Luong et al. 2015, https://arxiv.org/abs/1508.04025

    Examples:
        >>> layer = DotProductAttention(units=8, score="general")
        >>> query, memory = keras.random.normal([2, 5, 8]), keras.random.normal([2, 7, 8])
        >>> outputs, weights = layer(query, memory, return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 8]), TensorShape([2, 1, 5, 7]))
    """

    def __init__(self, units: int, score: Score = "scaled", dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, dropout, **kwargs)
        if score not in get_args(Score):
            raise ValueError(
                f"`score` must be one of {', '.join(get_args(Score))}. Received: score={score!r}"
            )
        self.score = score
        self.product_scale = {"dot": 1.0, "scaled": units**-0.5, "general": 1.0, "concat": None}[score]
        concat = score == "concat"
        self.query_projection = self._projection(units, "query", use_bias=False) if concat else None
        self.key_projection = (
            self._projection(units, "key", use_bias=False) if concat or score == "general" else None
        )
        self.score_projection = self._projection(1, "score", use_bias=False) if concat else None
        if self.key_projection is None and self.kernel_initializer != "glorot_uniform":
            raise ValueError(
                f'The score "{score}" has no kernels: omit `kernel_initializer`, or use "general" or '
                f'"concat". Received: score={score!r}, kernel_initializer={self.kernel_initializer!r}'
            )

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        self._check_width("value", value_shape)
        if self.key_projection is None:
            self._check_width("key", key_shape)
        else:
            self.key_projection.build(key_shape)
        for projection in (self.query_projection, self.score_projection):
            if projection is not None:
                projection.build(query_shape)

    def project_query(self, query, position=0):
        """Returns the query, multiplied by W_q for "concat", <float>[batch, 1, query, units]."""
        return self.as_single_head(query if self.query_projection is None else self.query_projection(query))

    def project_memory(self, key, value, position=0):
        """Returns the key, multiplied by W or W_k if there is one, and the value.

        Both are <float>[batch, 1, key, units].
        """
        if self.key_projection is not None:
            key = self.key_projection(key)
        return self.as_single_head(key), self.as_single_head(value)

    def logits(self, query, key):
        """Returns e of "concat", <float32>[batch, 1, query, key]."""
        return additive_logits(query, key, self.score_projection)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "score": self.score}
