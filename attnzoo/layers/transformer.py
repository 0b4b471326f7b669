"""Transformer blocks around any attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from attnzoo.attention import mechanisms
from attnzoo.attention.base import AttentionLayer, ScoredLayer, check_positive
from attnzoo.attention.mechanisms import Options
from attnzoo.attention.memory import Memory
from attnzoo.layers.connection import Connection, FeedForward, Norm

__all__ = ["DecoderBlock", "DecoderCaches", "EncoderBlock", "FeedForward"]


class _Block(ScoredLayer):
    """What encoder and decoder blocks share: the arguments and the feed-forward part."""

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
        self.units = check_positive("units", units)
        check_positive("feed_forward_units", feed_forward_units, least=0)
        # A plain dict: Keras turns the config into JSON.
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
        """Whether the attention's scores are of positions, and not of channels."""
        return self.attention.weighs_positions

    def _attention(self, options: Options, name: str) -> AttentionLayer:
        return mechanisms.build(options, self.units, name=name, dtype=self.dtype_policy)

    def _connection(self, name: str) -> Connection:
        norm, residual, dropout = (self._arguments[key] for key in ("norm", "residual", "dropout"))
        return Connection(norm, residual, dropout, name=name, dtype=self.dtype_policy)

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
    """Self attention, then a feed-forward part, each in a `Connection`.

    A stack of "pre" blocks needs one more normalization behind its last block.

    Args:
        units: width of input and output.
        attention: options of the attention, or its name.
        feed_forward_units: hidden width of the feed-forward part; 0 for none.
        dropout: share dropped behind each part, in [0, 1).
        feed_forward_dropout: share dropped inside the feed-forward part; None for that of `dropout`.
        norm: "pre", "post" or "none".
        residual: whether each part's input is added to its output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, units].
        padding_mask: <bool>[batch, time], True = may attend.
        training: whether dropout is active.
        return_attention_scores: also return the attention's scores.

    Returns:
        <float>[batch, time, units]; with `return_attention_scores` also <float32>[batch, heads, time, time].

    Raises:
        ValueError: an argument out of range.
        pydantic.ValidationError: unknown attention or option.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; place of the norm: Xiong et al. 2020,
        https://arxiv.org/abs/2002.04745
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

    def call(self, inputs, *, padding_mask=None, training=None, return_attention_scores=False):
        """Applies both parts."""
        outputs = self.attention(
            self.attention_connection.pre(inputs),
            padding_mask=padding_mask,
            training=training,
            return_attention_scores=return_attention_scores,
        )
        outputs, scores = outputs if return_attention_scores else (outputs, None)
        outputs = self._feed_forward(self.attention_connection.post(inputs, outputs, training), training)
        return (outputs, scores) if return_attention_scores else outputs


class DecoderCaches(NamedTuple):
    """What a decoder block keeps between the steps of one generation.

    Attributes:
        self_memory: key and value of the positions so far, each
            <float>[batch, heads, max_length * beams, dim], the beams of one position side by side: nothing in
            it ever moves.
        cross_memory: key and value of the source, each <float>[batch, heads, source, dim].
    """

    self_memory: Memory
    cross_memory: Memory


@keras.saving.register_keras_serializable("attnzoo")
class DecoderBlock(_Block):
    """Causal self attention, attention to the source, then a feed-forward part, each in a `Connection`.

    In training the call sees all target positions at once; in generation `start` and then `step`, one
    position at a time, give the same outputs.

    Args:
        units: width of input and output.
        attention: options of the self attention, or its name.
        cross_attention: options of the attention to the source, or its name; None for those of `attention`
            without its marks of position and its window.
        feed_forward_units: hidden width of the feed-forward part; 0 for none.
        dropout: share dropped behind each part, in [0, 1).
        feed_forward_dropout: share dropped inside the feed-forward part; None for that of `dropout`.
        norm: "pre", "post" or "none".
        residual: whether each part's input is added to its output.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, target, units].
        encoded: <float>[batch, source, units].
        source_mask: <bool>[batch, source], True = may attend.
        training: whether dropout is active.
        return_attention_scores: also return the scores of the attention to the source.

    Returns:
        <float>[batch, target, units]; with `return_attention_scores` also
        <float32>[batch, heads, target, source].

    Raises:
        ValueError: an argument out of range, or an attention that cannot be causal or look at another
            sequence.
        pydantic.ValidationError: unknown attention or option.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
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
            cross_attention = mechanisms.parse(attention).across()
        self._arguments["cross_attention"] = mechanisms.parse(cross_attention).model_dump()
        self.cross_attention = self._attention(cross_attention, "cross_attention")
        self.cross_connection = self._connection("cross_connection")
        for layer, need, able in (
            (self.attention, "be causal", self.attention.supports_causal),
            (self.cross_attention, "look at another sequence", self.cross_attention.supports_cross),
        ):
            if not able:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} needs an attention that can {need}; "
                    f"{type(layer).__name__} cannot. Received: {layer.name}={self._arguments[layer.name]}"
                )

    def build(self, inputs_shape, encoded_shape=None):
        """Builds the sublayers; the source has the width of the target unless its shape says otherwise."""
        self._build_common(inputs_shape)
        encoded_shape = encoded_shape or inputs_shape
        self.cross_attention.build(inputs_shape, encoded_shape, encoded_shape)
        self.cross_connection.build(inputs_shape)
        self.built = True

    def call(self, inputs, encoded, *, source_mask=None, training=None, return_attention_scores=False):
        """Applies the three parts to all target positions."""
        query = self.attention_connection.pre(inputs)
        outputs = self.attention(query, causal=True, training=training)
        hidden = self.attention_connection.post(inputs, outputs, training)
        memory = self.cross_attention.project_memory(encoded, encoded)
        outputs, scores = self._after_self_attention(
            hidden, memory, source_mask, training, return_attention_scores
        )
        return (outputs, scores) if return_attention_scores else outputs

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
        outputs, scores = outputs if with_attention_weights else (outputs, None)
        hidden = self.cross_connection.post(hidden, outputs, training)
        return self._feed_forward(hidden, training), scores

    def start(self, encoded: tf.Tensor, beams: int, max_length: int) -> DecoderCaches:
        """Projects the source once and makes room for the targets.

        Args:
            encoded: <float>[batch, source, units].
            beams: targets that are written side by side for each source, such as the beams of a search.
            max_length: most target positions, 1 or more.

        Returns:
            The caches of position 0.

        Raises:
            ValueError: the block is not built; several beams with an attention to the source that marks
                positions.
        """
        if beams > 1 and self.cross_attention.needs_order:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: beams stand in for target positions in the attention "
                f"to the source, which must not mark positions then. Received: beams={beams}, "
                f"cross_attention={self._arguments['cross_attention']}"
            )
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has no weights yet: call it, or its `build`, first. "
                "Received: built=False"
            )
        heads, key_dim, value_dim = self.attention.memory_dims
        batch = keras.ops.shape(encoded)[0]
        key = tf.zeros([batch, heads, max_length * beams, key_dim], self.compute_dtype)
        value = tf.zeros([batch, heads, max_length * beams, value_dim], self.compute_dtype)
        return DecoderCaches((key, value), self.cross_attention.project_memory(encoded, encoded))

    def grow(self, caches: DecoderCaches, beams: int, max_length: int) -> DecoderCaches:
        """Returns the caches with room for `max_length` target positions, not fewer than they have."""
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
        """Decodes one position of every beam. Nothing is dropped.

        Args:
            inputs: <float>[batch, beams, units], the elements at `position`.
            caches: what `start` or the step before returned.
            position: integer or <int>[], 0 to max_length - 1, one more at each step.
            ancestry: <int32>[batch, beams, time], the beam in which the target that is now in a beam had its
                element at each position up to `position`; `time` is not below the length of the caches.
                None where targets never change beams.
            source_mask: <bool>[batch, source], True = may attend.
            return_attention_scores: also return the scores of the attention to the source.

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
            _write_position(cache, new, position, beams)
            for cache, new in zip(
                caches.self_memory, self.attention.project_memory(rows, rows, position), strict=True
            )
        )
        if ancestry is None or self.attention.needs_order:
            memory_of_rows = tuple(_follow(cache, ancestry, beams) for cache in memory)
            outputs = self.attention.attend(rows, memory_of_rows, causal=True, position=position)
            outputs = keras.ops.reshape(outputs, [batch, beams, units])
        else:
            outputs = self.attention.attend(query, memory, pair_mask=_own_slots(ancestry, position))
        hidden = self.attention_connection.post(inputs, outputs, False)
        outputs, scores = self._after_self_attention(
            hidden, caches.cross_memory, source_mask, False, return_attention_scores, position
        )
        caches = DecoderCaches(memory, caches.cross_memory)
        return (outputs, caches, scores) if return_attention_scores else (outputs, caches)


def _write_position(cache: tf.Tensor, new: tf.Tensor, position: int | tf.Tensor, beams: int) -> tf.Tensor:
    """Writes <float>[batch * beams, heads, 1, dim] into <float>[batch, heads, time * beams, dim]."""
    batch, heads, _, dim = keras.ops.shape(cache)
    new = keras.ops.reshape(tf.cast(new, cache.dtype), [batch, beams, heads, dim])
    return keras.ops.slice_update(cache, [0, 0, position * beams, 0], tf.transpose(new, [0, 2, 1, 3]))


def _own_slots(ancestry: tf.Tensor, position: int | tf.Tensor) -> tf.Tensor:
    """Returns <bool>[batch, beams, time * beams], True where a target of a beam has an element."""
    batch, beams, time = keras.ops.shape(ancestry)
    own = ancestry[..., None] == tf.range(beams)  # [batch, beams, time, beams]
    own &= (tf.range(time) <= position)[:, None]
    return keras.ops.reshape(own, [batch, beams, time * beams])


def _follow(cache: tf.Tensor, ancestry: tf.Tensor | None, beams: int) -> tf.Tensor:
    """Returns each target's own memory, <float>[batch * beams, heads, time, dim]."""
    batch, heads, slots, dim = keras.ops.shape(cache)
    own = tf.transpose(cache, [0, 2, 1, 3])  # [batch, time * beams, heads, dim]
    if ancestry is None:
        own = keras.ops.reshape(own, [batch, slots // beams, beams, heads, dim])
        own = tf.transpose(own, [0, 2, 3, 1, 4])
    else:
        own = tf.gather(own, tf.range(slots // beams) * beams + ancestry, batch_dims=1)
        own = tf.transpose(own, [0, 1, 3, 2, 4])
    return keras.ops.reshape(own, [batch * beams, heads, slots // beams, dim])
