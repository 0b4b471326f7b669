"""Dot-product attention."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras

from attnzoo.attention.base import AttentionLayer

Score = Literal["dot", "scaled", "general"]


@keras.saving.register_keras_serializable("attnzoo")
class DotProductAttention(AttentionLayer):
    """Scores by the product of query and key, with one learned matrix at most.

        dot:     e_ik = query_i . key_k
        scaled:  e_ik = query_i . key_k / sqrt(units)
        general: e_ik = query_i . W key_k
        weights = softmax_k(e)        output_i = sum_k weights_ik value_k

    Args:
        units: width of query, value and output.
        score: which of the three.
        dropout: share of the attention weights dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments, returns: those of `AttentionLayer`; for "general" the key may have any width.

    Raises:
        ValueError: unknown `score`, a value (or, unless "general", a key) of another width than `units`, and
            what `AttentionLayer` raises.

    Reference: Luong et al. 2015, https://arxiv.org/abs/1508.04025
    """

    def __init__(self, units: int, score: Score = "scaled", dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, dropout, **kwargs)
        if score not in get_args(Score):
            raise ValueError(
                f"`score` must be one of {', '.join(get_args(Score))}; for a score of the concatenation use "
                f"AdditiveAttention. Received: score={score!r}"
            )
        self.score = score
        self.product_scale = units**-0.5 if score == "scaled" else 1.0
        self.key_projection = self._projection(units, "key", use_bias=False) if score == "general" else None

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        self._check_width("value", value_shape)
        if self.key_projection is None:
            self._check_width("key", key_shape)
        else:
            self.key_projection.build(key_shape)

    def project_memory(self, key, value, position=0):
        """Returns key (times W) and value, each <float>[batch, 1, key, units]."""
        if self.key_projection is not None:
            key = self.key_projection(key)
        return self.one_head(key), self.one_head(value)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "score": self.score}
