"""Transformer encoder and decoder blocks with any attention mechanism."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention import mechanisms
from attnzoo.attention.base import AttentionLayer, ScoredLayer, check_positive
from attnzoo.attention.mechanisms import Options
from attnzoo.attention.memory import Memory
from attnzoo.layers.connection import Connection, FeedForward, Norm
from attnzoo.layers.decoder_caches import DecoderCaches, ancestry_mask, gather_ancestry, update_cache


class _Block(ScoredLayer):
    """Base class of encoder and decoder blocks: their arguments and the feed-forward network."""

    def __init__(
        self,
        units: int,
        attention: Options,
        feed_forward_units: int,
        dropout: float,
        feed_forward_dropout: float | None,
        norm: Norm,
        residual: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = check_positive("units", units)
        check_positive("feed_forward_units", feed_forward_units, minimum=0)
        # A plain dict, because Keras serializes the config as JSON.
        self._arguments: dict[str, Any] = {
            "units": units,
            "attention": mechanisms.parse(attention).model_dump(),
            "feed_forward_units": feed_forward_units,
            "dropout": dropout,
            "feed_forward_dropout": feed_forward_dropout,
            "norm": norm,
            "residual": residual,
        }
        self.attention = self._attention(attention, "attention")
        self.attention_connection = self._connection("attention_connection")
        self.feed_forward: FeedForward | None = None
        if feed_forward_units:
            rate = dropout if feed_forward_dropout is None else feed_forward_dropout
            self.feed_forward = FeedForward(
                units, feed_forward_units, rate, name="feed_forward", dtype=self.dtype_policy
            )
            self.feed_forward_connection = self._connection("feed_forward_connection")

    @property
    def weighs_positions(self) -> bool:
        """Whether the attention weights are of positions, not of channels."""
        return self.attention.weighs_positions

    def _attention(self, options: Options, name: str) -> AttentionLayer:
        return mechanisms.build(options, self.units, name=name, dtype=self.dtype_policy)

    def _connection(self, name: str) -> Connection:
        norm, residual, dropout = (self._arguments[key] for key in ("norm", "residual", "dropout"))
        return Connection(norm, residual, dropout, name=name, dtype=self.dtype_policy)

    def check_call(self, inputs, encoded=None, *, padding_mask=None, mask=None, inputs_mask=None, **others):
        """Checks that the shapes of the inputs and their masks fit together."""
        self.attention.check_call(inputs, padding_mask=padding_mask, mask=mask, query_mask=inputs_mask)

    def compute_output_shape(self, inputs_shape, encoded_shape=None):
        """Returns the shape of the output, without that of `return_attention_scores`."""
        return tuple(inputs_shape)

    def _build_common(self, inputs_shape) -> None:
        self.attention.build(inputs_shape)
        self.attention_connection.build(inputs_shape)
        if self.feed_forward is not None:
            self.feed_forward.build(inputs_shape)
            self.feed_forward_connection.build(inputs_shape)

    def _feed_forward(self, hidden: tf.Tensor, training: bool | None) -> tf.Tensor:
        if self.feed_forward is None:
            return hidden
        connection = self.feed_forward_connection
        outputs = self.feed_forward(connection.pre(hidden), training=training)
        return connection.post(hidden, outputs, training)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self._arguments, "attention": dict(self._arguments["attention"])}


@keras.saving.register_keras_serializable("attnzoo")
class EncoderBlock(_Block):
    """Transformer encoder block: self-attention and a feed-forward network, each in a `Connection`.

    A stack of "pre" blocks needs another layer normalization after its last block.

    Args:
        units: width of input and output.
        attention: options of the attention mechanism, or its name.
        feed_forward_units: hidden width of the feed-forward network; 0 for none.
        dropout: fraction of the outputs of each sublayer dropped in training, in [0, 1).
        feed_forward_dropout: fraction dropped inside the feed-forward network, in [0, 1); None for `dropout`.
        norm: position of the layer normalization: "pre", "post" or "none".
        residual: whether the input of each sublayer is added to its output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, units].
        padding_mask: <bool>[batch, time], True = may attend.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights.
        mask, inputs_mask: padding mask that Keras passes along with the inputs, used if there is no
            `padding_mask`.

    Returns:
        <float>[batch, time, units]; with `return_attention_scores` also <float32>[batch, heads, time, time].

    Raises:
        ValueError: an argument out of range.
        pydantic.ValidationError: unknown attention mechanism or option.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; pre-norm: Xiong et al. 2020,
        https://arxiv.org/abs/2002.04745

    Examples:
        >>> block = EncoderBlock(units=16, attention="additive", feed_forward_units=64)
        >>> block(tf.random.normal([2, 7, 16]), padding_mask=tf.fill([2, 7], True)).shape
        TensorShape([2, 7, 16])
    """

    def __init__(
        self,
        units: int,
        attention: Options = "multi_head",
        feed_forward_units: int = 0,
        dropout: float = 0.0,
        feed_forward_dropout: float | None = None,
        norm: Norm = "pre",
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units, attention, feed_forward_units, dropout, feed_forward_dropout, norm, residual, **kwargs
        )

    def build(self, inputs_shape):
        """Builds the sublayers."""
        self._build_common(inputs_shape)
        self.built = True

    def call(
        self,
        inputs,
        *,
        padding_mask=None,
        training=None,
        return_attention_scores=False,
        mask=None,
        inputs_mask=None,
    ):
        """Applies the block."""
        if padding_mask is None:
            padding_mask = inputs_mask if mask is None else mask
        outputs = self.attention(
            self.attention_connection.pre(inputs),
            padding_mask=padding_mask,
            training=training,
            return_attention_scores=return_attention_scores,
        )
        outputs, attention_weights = outputs if return_attention_scores else (outputs, None)
        outputs = self._feed_forward(self.attention_connection.post(inputs, outputs, training), training)
        return (outputs, attention_weights) if return_attention_scores else outputs


@keras.saving.register_keras_serializable("attnzoo")
class DecoderBlock(_Block):
    """Transformer decoder block: causal self-attention, cross-attention and a feed-forward network.

    Each of the three is in a `Connection`. For training, the call computes all target positions at once; for
    generation, `start` and then `step` compute the same outputs one position at a time.

    Args:
        units: width of input and output.
        attention: options of the self-attention, or its name.
        cross_attention: options of the cross-attention, or its name; None for those of `attention` without
            position encoding and window.
        feed_forward_units: hidden width of the feed-forward network; 0 for none.
        dropout: fraction of the outputs of each sublayer dropped in training, in [0, 1).
        feed_forward_dropout: fraction dropped inside the feed-forward network, in [0, 1); None for `dropout`.
        norm: position of the layer normalization: "pre", "post" or "none".
        residual: whether the input of each sublayer is added to its output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, target, units].
        encoded: <float>[batch, source, units].
        source_mask: <bool>[batch, source], True = may attend.
        training: whether dropout is active.
        return_attention_scores: also return the weights of the cross-attention.
        encoded_mask: padding mask that Keras passes along with `encoded`, used if there is no `source_mask`.

    Returns:
        <float>[batch, target, units]; with `return_attention_scores` also
        <float32>[batch, heads, target, source].

    Raises:
        ValueError: an argument out of range, or an attention mechanism that does not support causal attention
            or cross-attention.
        pydantic.ValidationError: unknown attention mechanism or option.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    Examples:
        >>> block = DecoderBlock(units=16, feed_forward_units=64)
        >>> target, source = tf.random.normal([2, 5, 16]), tf.random.normal([2, 7, 16])
        >>> outputs, weights = block(target, source, return_attention_scores=True)
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 16]), TensorShape([2, 4, 5, 7]))
    """

    def __init__(
        self,
        units: int,
        attention: Options = "multi_head",
        cross_attention: Options | None = None,
        feed_forward_units: int = 0,
        dropout: float = 0.0,
        feed_forward_dropout: float | None = None,
        norm: Norm = "pre",
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units, attention, feed_forward_units, dropout, feed_forward_dropout, norm, residual, **kwargs
        )
        if cross_attention is None:
            cross_attention = mechanisms.parse(attention).for_cross_attention()
        self._arguments["cross_attention"] = mechanisms.parse(cross_attention).model_dump()
        self.cross_attention = self._attention(cross_attention, "cross_attention")
        self.cross_connection = self._connection("cross_connection")
        for layer, requirement, supported in (
            (self.attention, "causal attention", self.attention.supports_causal),
            (self.cross_attention, "cross-attention", self.cross_attention.supports_cross),
        ):
            if not supported:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} needs an attention mechanism that supports "
                    f"{requirement}; {type(layer).__name__} does not. "
                    f"Received: {layer.name}={self._arguments[layer.name]}"
                )

    def build(self, inputs_shape, encoded_shape=None):
        """Builds the sublayers. Without its shape, the source is assumed to be as wide as the target."""
        self._build_common(inputs_shape)
        encoded_shape = encoded_shape or inputs_shape
        self.cross_attention.build(inputs_shape, encoded_shape)
        self.cross_connection.build(inputs_shape)
        self.built = True

    def check_call(self, inputs, encoded=None, *, source_mask=None, encoded_mask=None, **others):
        """Checks that the shapes of target, source and their masks fit together."""
        super().check_call(inputs)
        self.cross_attention.check_call(
            inputs, encoded, padding_mask=source_mask, key_mask=encoded_mask, value_mask=encoded_mask
        )

    def call(
        self,
        inputs,
        encoded,
        *,
        source_mask=None,
        training=None,
        return_attention_scores=False,
        encoded_mask=None,
    ):
        """Computes all target positions."""
        source_mask = encoded_mask if source_mask is None else source_mask
        query = self.attention_connection.pre(inputs)
        outputs = self.attention(query, use_causal_mask=True, training=training)
        hidden = self.attention_connection.post(inputs, outputs, training)
        memory = self.cross_attention.project_memory(encoded, encoded)
        outputs, attention_weights = self._after_self_attention(
            hidden, memory, source_mask, training, return_attention_scores
        )
        return (outputs, attention_weights) if return_attention_scores else outputs

    def _after_self_attention(
        self,
        hidden: tf.Tensor,
        memory: Memory,
        source_mask: tf.Tensor | None,
        training: bool | None,
        with_attention_weights: bool,
        position: int | tf.Tensor = 0,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        outputs = self.cross_attention.attend(
            self.cross_connection.pre(hidden),
            memory,
            padding_mask=source_mask,
            position=position,
            training=training,
            return_attention_scores=with_attention_weights,
        )
        outputs, attention_weights = outputs if with_attention_weights else (outputs, None)
        hidden = self.cross_connection.post(hidden, outputs, training)
        return self._feed_forward(hidden, training), attention_weights

    def start(self, encoded: tf.Tensor, beams: int, max_length: int) -> DecoderCaches:
        """Projects the source and returns empty caches for the targets.

        Args:
            encoded: <float>[batch, source, units].
            beams: number of targets generated in parallel for each source, 1 or more.
            max_length: maximum number of target positions, 1 or more.

        Returns:
            The caches for position 0.

        Raises:
            ValueError: the block is not built, or there are several beams and the cross-attention has a
                position encoding.
        """
        if beams > 1 and self.cross_attention.needs_order:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: with several beams, which take the place of target "
                f"positions, cross-attention must not have a position encoding. Received: beams={beams}, "
                f"cross_attention={self._arguments['cross_attention']}"
            )
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} is not built: call it or its `build` first. "
                "Received: built=False"
            )
        heads, key_dim, value_dim = self.attention.memory_dims
        batch = keras.ops.shape(encoded)[0]
        key = tf.zeros([batch, heads, max_length * beams, key_dim], self.compute_dtype)
        value = tf.zeros([batch, heads, max_length * beams, value_dim], self.compute_dtype)
        return DecoderCaches((key, value), self.cross_attention.project_memory(encoded, encoded))

    def grow(self, caches: DecoderCaches, beams: int, max_length: int) -> DecoderCaches:
        """Extends the caches to `max_length` target positions, at least their current number."""
        slots = max_length * beams
        key, value = (
            tf.pad(cache, [[0, 0], [0, 0], [0, slots - cache.shape[2]], [0, 0]])
            for cache in caches.self_memory
        )
        return caches._replace(self_memory=(key, value))

    def step(
        self,
        inputs: tf.Tensor,
        caches: DecoderCaches,
        position: int | tf.Tensor,
        ancestry: tf.Tensor | None = None,
        source_mask: tf.Tensor | None = None,
        return_attention_scores: bool = False,
    ):
        """Decodes one position of every beam, without dropout.

        Args:
            inputs: <float>[batch, beams, units], the inputs at `position`.
            caches: returned by `start` or the previous step.
            position: integer or <int>[], 0 to max_length - 1, increasing by one at each step.
            ancestry: <int32>[batch, beams, time], the beam that each hypothesis was in at each position up to
                `position`; `time` is at least the length of the caches. None if none changes its beam.
            source_mask: <bool>[batch, source], True = may attend.
            return_attention_scores: also return the weights of the cross-attention.

        Returns:
            Outputs <float>[batch, beams, units] and the new caches; with `return_attention_scores` also
            <float32>[batch, heads, beams, source].
        """
        query = self.attention_connection.pre(inputs)
        batch, beams, units = keras.ops.shape(query)
        if ancestry is not None:
            ancestry = ancestry[..., : keras.ops.shape(caches.self_memory[0])[2] // beams]
        rows = keras.ops.reshape(query, [batch * beams, 1, units])
        memory = tuple(
            update_cache(cache, new, position, beams)
            for cache, new in zip(
                caches.self_memory, self.attention.project_memory(rows, rows, position), strict=True
            )
        )
        if ancestry is None or self.attention.needs_order:
            memory_of_rows = tuple(gather_ancestry(cache, ancestry, beams) for cache in memory)
            outputs = self.attention.attend(rows, memory_of_rows, use_causal_mask=True, position=position)
            outputs = keras.ops.reshape(outputs, [batch, beams, units])
        else:
            outputs = self.attention.attend(query, memory, attention_mask=ancestry_mask(ancestry, position))
        hidden = self.attention_connection.post(inputs, outputs, False)
        outputs, attention_weights = self._after_self_attention(
            hidden, caches.cross_memory, source_mask, False, return_attention_scores, position
        )
        caches = DecoderCaches(memory, caches.cross_memory)
        return (outputs, caches, attention_weights) if return_attention_scores else (outputs, caches)
