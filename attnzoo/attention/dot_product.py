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
        description="dot: q . k; scaled: q . k / sqrt(width); general: q . W k; concat: v . tanh(W [q; k]).",
    )
    dropout: Rate = Field(0.0, description=DROPOUT)


@keras.saving.register_keras_serializable("attnzoo")
class DotProductAttention(SoftmaxAttention):
    """Scores by the product of query and key, or by what was proposed beside it.

        dot:     e_ik = query_i . key_k
        scaled:  e_ik = query_i . key_k / sqrt(units)
        general: e_ik = query_i . W key_k
        concat:  e_ik = v . tanh(W [query_i; key_k])
        weights = softmax_k(e)        output_i = sum_k weights_ik value_k

    "concat" is `AdditiveAttention` without a bias: W [query_i; key_k] = W_q query_i + W_k key_k with the two
    halves of W, so nothing is concatenated. It alone keeps <float>[batch, query, key, units] in memory.

    Args:
        units: width of query, value and output.
        score: which of the four.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments, returns: those of `AttentionLayer`; for "general" and "concat" the key may have any width.

    Raises:
        ValueError: unknown `score`, a value (for "dot" and "scaled" also a key) of another width than
            `units`, and what `SoftmaxAttention` raises.

    Reference: Luong et al. 2015, https://arxiv.org/abs/1508.04025
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

    def build_projections(self, query_shape, key_shape, value_shape):
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
        """Returns query, for "concat" times W_q, <float>[batch, 1, query, units]."""
        return self.one_head(query if self.query_projection is None else self.query_projection(query))

    def project_memory(self, key, value, position=0):
        """Returns key, times W or W_k if there is one, and value, each <float>[batch, 1, key, units]."""
        if self.key_projection is not None:
            key = self.key_projection(key)
        return self.one_head(key), self.one_head(value)

    def logits(self, query, key):
        """Returns e of "concat", <float32>[batch, 1, query, key]."""
        return additive_logits(query, key, self.score_projection)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "score": self.score}
