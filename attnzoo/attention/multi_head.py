"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import keras

from attnzoo.attention.base import AttentionLayer, check_positive, merge_heads, split_heads


@keras.saving.register_keras_serializable("attnzoo")
class MultiHeadAttention(AttentionLayer):
    """Scaled dot-product attention in several subspaces side by side.

        head_h = softmax(Q_h K_h^T / sqrt(dim)) V_h        output = W_o [head_1 ... head_H]

    with Q_h, K_h, V_h the h-th slices of W_q query, W_k key, W_v value, and dim = units / num_heads. Without
    scores it runs the compiled kernel, which keeps no weights for the gradient.

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads H, 1 or more.
        dropout: share of the attention weights dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments, returns: those of `AttentionLayer`; key and value may have any width.

    Raises:
        ValueError: `units` is not a multiple of `num_heads`, and what `AttentionLayer` raises.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, units: int, num_heads: int = 4, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, dropout, **kwargs)
        self.num_heads = check_positive("num_heads", num_heads)
        if units % num_heads:
            raise ValueError(
                f"`units` must be a multiple of `num_heads`. Received: units={units}, num_heads={num_heads}"
            )
        self.product_scale = (units // num_heads) ** -0.5
        self.query_projection = self._projection(units, "query")
        self.key_projection = self._projection(units, "key")
        self.value_projection = self._projection(units, "value")
        self.output_projection = self._projection(units, "output")

    @property
    def memory_dims(self):
        """Heads, key_dim and value_dim of a memory."""
        return (self.num_heads, self.units // self.num_heads, self.units // self.num_heads)

    def build_projections(self, query_shape, key_shape, value_shape):
        """Builds the sublayers."""
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(value_shape)
        self.output_projection.build(query_shape)

    def project_query(self, query, position=0):
        """Returns <float>[batch, heads, query, dim]."""
        return split_heads(self.query_projection(query), self.num_heads)

    def project_memory(self, key, value, position=0):
        """Returns key and value, each <float>[batch, heads, key, dim]."""
        key, value = self.key_projection(key), self.value_projection(value)
        return split_heads(key, self.num_heads), split_heads(value, self.num_heads)

    def project_output(self, context):
        """Returns <float>[batch, query, units]."""
        return self.output_projection(merge_heads(context))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}
