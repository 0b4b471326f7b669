"""Multi-head attention."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.base import check_positive
from attnzoo.attention.memory import SoftmaxAttention
from attnzoo.attention.options import HeadOptions, PositionEncoding
from attnzoo.attention.position_bias import NUM_BUCKETS, alibi_slopes, distance_bias
from attnzoo.attention.rotary import rotate
from attnzoo.attention.shapes import merge_heads, split_heads


class Config(HeadOptions):
    """Options of `MultiHeadAttention`."""

    name: Literal["multi_head"] = Field(
        "multi_head", description="Multi-head attention: scaled dot products in several subspaces."
    )

    @property
    def needs_map_size(self) -> bool:
        """Whether position is "relative": on a feature map it is by rows and columns, see `GridAttention`."""
        return self.position == "relative"


class BaseMultiHeadAttention(SoftmaxAttention):
    """Base class of multi-head attention layers, without position encoding.

        head_h = softmax(Q_h K_g^T / sqrt(dim)) V_g        output = W_o [head_1 ... head_H]

    with Q_h, K_g, V_g slices of W_q query, W_k key, W_v value, and dim = units / H. The H heads of the query
    form G groups of consecutive heads, each with one key and value head; with G = H every head has its own.
    Unless the weights are returned, it uses the compiled kernel, which stores no weights for the gradient.

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads H, 1 or more.
        num_key_value_heads: number of groups G, a divisor of `num_heads`; `num_heads` if None.
        soft_cap: c in c tanh(logit / c), above 0, which bounds the logits to (-c, c); None for no limit.
        sink: whether each head has a trained logit of an extra key without a value, so that the head can
            attend to nothing.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; key and value may have any width. With `sink` the
        weights of a query sum to less than 1.

    Raises:
        ValueError: `units` is not a multiple of `num_heads`, or `num_heads` not of `num_key_value_heads`;
            `soft_cap` is not above 0; also raises what `SoftmaxAttention` raises.
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        num_key_value_heads: int | None = None,
        soft_cap: float | None = None,
        sink: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, dropout, **kwargs)
        self.num_heads = check_positive("num_heads", num_heads)
        self.num_key_value_heads = num_key_value_heads
        self.soft_cap = soft_cap
        self.sink = sink
        self.memory_heads = num_heads if num_key_value_heads is None else num_key_value_heads
        self._check_heads()
        if soft_cap is not None and soft_cap <= 0:
            raise ValueError(f"`soft_cap` must be above 0. Received: soft_cap={soft_cap}")
        self.dim = units // num_heads
        self.product_scale = self.dim**-0.5
        self.query_projection = self._projection(units, "query")
        self.key_projection = self._projection(self.memory_heads * self.dim, "key")
        self.value_projection = self._projection(self.memory_heads * self.dim, "value")
        self.output_projection = self._projection(units, "output")
        self.sink_logits: keras.Variable | None = None

    def _check_heads(self) -> None:
        if self.units % self.num_heads:
            raise ValueError(
                "`units` must be a multiple of `num_heads`. "
                f"Received: units={self.units}, num_heads={self.num_heads}"
            )
        check_positive("num_key_value_heads", self.memory_heads)
        if self.num_heads % self.memory_heads:
            raise ValueError(
                "`num_heads` must be a multiple of `num_key_value_heads`. "
                f"Received: num_heads={self.num_heads}, num_key_value_heads={self.memory_heads}"
            )

    @property
    def memory_dims(self):
        """Number of heads, key_dim and value_dim of a memory."""
        return (self.memory_heads, self.dim, self.dim)

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers and the sink logits."""
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(value_shape)
        self.output_projection.build(query_shape)
        if self.sink:
            self.sink_logits = self._add_logits((self.num_heads,), "sink")

    def _add_logits(self, shape: tuple[int, ...], name: str) -> keras.Variable:
        """Adds a variable that is not cast to the compute dtype, as logits are float32."""
        return self.add_weight(shape=shape, initializer="zeros", name=name, autocast=False)

    def project_query(self, query, position=0):
        """Returns <float>[batch, heads, query, dim]."""
        return split_heads(self.query_projection(query), self.num_heads)

    def project_memory(self, key, value, position=0):
        """Returns key and value, each <float>[batch, key_heads, key, dim]."""
        key = split_heads(self.key_projection(key), self.memory_heads)
        return key, split_heads(self.value_projection(value), self.memory_heads)

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds soft cap and sink."""
        return arguments._replace(soft_cap=self.soft_cap, sink=self.sink_logits)

    def project_output(self, context):
        """Returns <float>[batch, query, units]."""
        return self.output_projection(merge_heads(context))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "soft_cap": self.soft_cap,
            "sink": self.sink,
        }


@keras.saving.register_keras_serializable("attnzoo")
class MultiHeadAttention(BaseMultiHeadAttention):
    """Multi-head scaled dot-product attention, with optional position encoding.

        head_h = softmax(Q_h K_g^T / sqrt(dim)) V_g        output = W_o [head_1 ... head_H]

    as in `BaseMultiHeadAttention`. Position encodings, all of which depend on the distance of query and key:

        rotary:   rotates Q_h and K_g by angles proportional to the position, see `rotate`
        alibi:    subtracts slope_h |distance| from the logits, see `alibi_slopes`
        relative: adds a trained bias for each head and bucket of distances, see `relative_bucket`

    Args:
        units: width of query and output, a multiple of `num_heads`.
        num_heads: number of heads H, 1 or more.
        num_key_value_heads: number of groups G, a divisor of `num_heads`; `num_heads` if None.
        position: position encoding: "none", "rotary", "alibi" or "relative".
        soft_cap: c in c tanh(logit / c), above 0, which bounds the logits to (-c, c); None for no limit.
        sink: whether each head has a trained logit of an extra key without a value, so that the head can
            attend to nothing.
        dropout: fraction of the attention weights dropped in training, in [0, 1).
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments, returns: those of `AttentionLayer`; key and value may have any width. With `sink` the
        weights of a query sum to less than 1.

    Raises:
        ValueError: `units` is not a multiple of `num_heads`, or `num_heads` not of `num_key_value_heads`; an
            unknown `position`, or "rotary" with an odd dim; `soft_cap` is not above 0; also raises what
            `SoftmaxAttention` raises.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; multi-query: Shazeer 2019,
        https://arxiv.org/abs/1911.02150; grouped: Ainslie et al. 2023, https://arxiv.org/abs/2305.13245;
        soft cap: Gemma Team 2024, https://arxiv.org/abs/2408.00118; sink: Miller 2023,
        https://www.evanmiller.org/attention-is-off-by-one.html, and trained: OpenAI 2025,
        https://arxiv.org/abs/2508.10925

    Examples:
        >>> layer = MultiHeadAttention(units=16, num_heads=4, num_key_value_heads=2, position="rotary")
        >>> outputs, weights = layer(
        ...     tf.random.normal([2, 7, 16]), use_causal_mask=True, return_attention_scores=True
        ... )
        >>> outputs.shape, weights.shape
        (TensorShape([2, 7, 16]), TensorShape([2, 4, 7, 7]))
        >>> bool(tf.reduce_all(tf.abs(tf.reduce_sum(weights, axis=-1) - 1.0) < 1e-5))
        True
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        num_key_value_heads: int | None = None,
        position: PositionEncoding = "none",
        soft_cap: float | None = None,
        sink: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, num_heads, num_key_value_heads, soft_cap, sink, dropout, **kwargs)
        self.position = position
        if position not in get_args(PositionEncoding):
            raise ValueError(
                f"`position` must be one of {', '.join(get_args(PositionEncoding))}. "
                f"Received: position={position!r}"
            )
        if position == "rotary" and self.dim % 2:
            raise ValueError(
                "Rotary position embedding rotates pairs of features: `units` / `num_heads` must be even. "
                f"Received: units={units}, num_heads={num_heads}"
            )
        self.bucket_biases: keras.Variable | None = None

    @property
    def needs_order(self):
        """Whether there is a position encoding."""
        return self.position != "none"

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers, the sink logits and the relative position biases."""
        super().build_projections(query_shape, value_shape, key_shape)
        if self.position == "relative":
            self.bucket_biases = self._add_logits((NUM_BUCKETS, self.num_heads), "relative")

    def project_query(self, query, position=0):
        """Returns <float>[batch, heads, query, dim]."""
        query = super().project_query(query)
        return rotate(query, position) if self.position == "rotary" else query

    def project_memory(self, key, value, position=0):
        """Returns key and value, each <float>[batch, key_heads, key, dim]."""
        key, value = super().project_memory(key, value)
        return rotate(key, position) if self.position == "rotary" else key, value

    def kernel_arguments(self, arguments, query_length, key_length, position):
        """Adds soft cap, sink and position encoding."""
        arguments = super().kernel_arguments(arguments, query_length, key_length, position)
        if self.position == "alibi":
            return arguments._replace(alibi_slopes=tf.constant(alibi_slopes(self.num_heads)))
        if self.position == "relative":
            bias = distance_bias(self.bucket_biases, query_length, key_length, position)
            return arguments._replace(distance_bias=bias)
        return arguments

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "position": self.position}
