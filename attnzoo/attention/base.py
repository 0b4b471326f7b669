"""The interface of every attention layer."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from attnzoo.attention.arguments import segment_pair
from attnzoo.attention.shapes import split_heads

Initializer: TypeAlias = str | dict[str, Any] | keras.initializers.Initializer
"""An initializer of Keras, its name or its config."""


_MEMORY_AXES = "[batch, key, features]"


class CheckedLayer(keras.layers.Layer):
    """Base class of layers that check the arguments of a call in one place, symbolic or not."""

    def check_call(self, *args: Any, **kwargs: Any) -> None:
        """Raises a ValueError if the arguments of a call do not fit together; they are those of `call`."""

    def compute_output_spec(self, *args, **kwargs):
        """Describes the outputs of a symbolic call, by tracing it: their number depends on the arguments."""
        # Before the trace, as Keras wraps its errors into one about missing methods.
        self.check_call(*args, **kwargs)
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def check_shape(
        self,
        name: str,
        tensor: Any,
        axes: str,
        expected: tuple[int | None, ...],
        broadcast: bool = False,
        hint: str = "",
    ) -> None:
        """Checks the shape of an argument as far as it is known; None as the argument fits.

        Args:
            name: name of the argument.
            tensor: the argument: a tensor, symbolic or not, an array or a nested list.
            axes: names of the axes, such as "[batch, key]".
            expected: their sizes; None for any.
            broadcast: whether axes of size 1 and missing leading axes fit; the last two are never missing.
            hint: what to do, after what is expected.

        Raises:
            ValueError: an axis is missing or has another size; says what was received and expected.
        """
        shape = None if tensor is None else static_shape(tensor)
        if shape is not None:
            self.check_sizes(name, shape, axes, expected, broadcast, hint)

    def check_sizes(
        self,
        name: str,
        shape: tuple[int | None, ...],
        axes: str,
        expected: tuple[int | None, ...],
        broadcast: bool = False,
        hint: str = "",
    ) -> None:
        """Checks the shape of an argument; arguments and errors are those of `check_shape`."""
        if _fits(shape, expected, broadcast):
            return
        raise ValueError(
            f"{type(self).__name__} {self.name!r}: `{name}` must have the shape {axes} = {expected}{hint}. "
            f"Received: {name}.shape={shape}"
        )


class ScoredLayer(CheckedLayer):
    """Base class of layers whose call accepts `return_attention_scores`."""

    @property
    def weighs_positions(self) -> bool:
        """Whether the attention scores weight positions of the input, not channels."""
        return True


class AttentionLayer(ScoredLayer):
    """Base class of the attention layers. Calls follow those of `keras.layers.MultiHeadAttention`.

    A subclass implements `call` and, if it has sublayers, `build_projections`.

    Args:
        units: width of query and output, 1 or more.
        kernel_initializer: initializer of the kernels of all projections, or its name or config. Each has
            numbers of its own, unless the initializer has a seed.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        query: <float>[batch, query, units].
        value: <float>[batch, key, units]; `query` if None, which is self-attention.
        key: <float>[batch, key, units]; `value` if None.
        attention_mask: <bool>[batch, query, key], True where the query may attend to the key; axes of size 1
            and missing leading axes are broadcast, and [batch, heads, query, key] differs by head. Memory
            grows with query * key.
        padding_mask: <bool>[batch, key], True = may attend. For padding it is cheaper than `attention_mask`.
        use_causal_mask: whether a query attends only to keys up to its own position.
        segment_ids: <int>[batch, time], ids of packed sequences, which do not attend to each other; a pair of
            tensors if query and key differ.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights, before dropout.
        mask, query_mask: padding mask that Keras passes along with a query, for example from
            `Embedding(mask_zero=True)`; used if neither `padding_mask` nor a value is given. With a value,
            `mask` is refused.
        key_mask, value_mask: the same for a key and a value; a position must be allowed by both.

    Returns:
        <float>[batch, query, units]; with `return_attention_scores` also <float32>[batch, heads, query, key],
        whose rows sum to 1. A query with nothing to attend to has weights and outputs of 0.

    Raises:
        ValueError: `units` below 1, the query is not `units` wide, or shapes do not fit together.

    Examples:
        A new attention layer works in every block of `attnzoo.layers`:

        >>> class UniformAttention(AttentionLayer):
        ...     def call(self, query, value=None, key=None, **arguments):
        ...         return tf.ones_like(query) * tf.reduce_mean(query, axis=1, keepdims=True)
        >>> UniformAttention(units=2)(tf.constant([[[1.0, 2.0], [3.0, 4.0]]])).numpy().tolist()
        [[[2.0, 3.0], [2.0, 3.0]]]
    """

    supports_cross = False
    """Whether query and key may come from different sequences."""
    supports_causal = False
    """Whether `use_causal_mask=True` is supported."""
    query_axes: ClassVar[dict[int, str]] = {3: "[batch, time, units]"}
    """Numbers of axes that a query may have, and the axes."""
    num_heads = 1
    """Number of heads of the attention weights."""

    def __init__(
        self, units: int, *, kernel_initializer: Initializer = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = check_positive("units", units)
        self.kernel_initializer = kernel_initializer

    @property
    def needs_order(self) -> bool:
        """Whether attention depends on the positions of the keys, so that keys must be in order."""
        return False

    def build(self, query_shape, value_shape=None, key_shape=None):
        """Creates the variables. Value and key default to the width of the query."""
        self.check_query(query_shape, is_width_needed=True)
        for name, shape in (("value", value_shape), ("key", key_shape)):
            if shape is not None:
                self.check_sizes(name, tuple(shape), _MEMORY_AXES, (query_shape[0], None, None))
        value_shape = value_shape or query_shape
        self.build_projections(query_shape, value_shape, key_shape or value_shape)
        self.built = True

    def build_projections(self, query_shape, value_shape, key_shape) -> None:
        """Builds the sublayers."""

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        """Returns the shape of the output, without that of `return_attention_scores`."""
        return (*query_shape[:-1], self.units)

    def check_call(
        self,
        query,
        value=None,
        key=None,
        *,
        padding_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        segment_ids=None,
        mask=None,
        query_mask=None,
        key_mask=None,
        value_mask=None,
        **others,
    ):
        """Checks that the shapes of the arguments of a call fit together.

        Raises:
            ValueError: they do not; says what was received and expected.
        """
        if key is not None and value is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: a key requires a value; only the key may be "
                f"omitted. Received: key.shape={tuple(key.shape)}, value=None"
            )
        if mask is not None and value is not None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `mask` is for calls without a value; pass "
                f"`padding_mask`. Received: mask.shape={static_shape(mask)}"
            )
        self.check_query(shape_of_query(query))
        batch, queries = tuple(query.shape)[:2]
        self.check_shape("value", value, _MEMORY_AXES, (batch, None, None))
        num_keys = (query if value is None else value).shape[1]
        self.check_shape("key", key, _MEMORY_AXES, (batch, num_keys, None))
        self.check_masks(query, num_keys, padding_mask, attention_mask, segment_ids)
        for name, given in (("mask", mask), ("query_mask", query_mask)):
            self.check_shape(name, given, "[batch, query]", (batch, queries))
        for name, given in (("key_mask", key_mask), ("value_mask", value_mask)):
            self.check_shape(name, given, "[batch, key]", (batch, num_keys))

    def check_masks(self, query, num_keys, padding_mask=None, attention_mask=None, segment_ids=None) -> None:
        """Checks the shapes of the masks of a call.

        Args:
            query: <float>[batch, query, units].
            num_keys: number of keys; None if it is not known.
            padding_mask, attention_mask, segment_ids: those of the call.

        Raises:
            ValueError: one of them does not fit; says what was received and expected.
        """
        batch, queries = tuple(query.shape)[:2]
        hint = "; a mask of pairs of query and key is `attention_mask`"
        self.check_shape("padding_mask", padding_mask, "[batch, key]", (batch, num_keys), hint=hint)
        axes = "[batch, query, key]"
        expected: tuple[Any, ...] = (batch, queries, num_keys)
        if attention_mask is not None and len(static_shape(attention_mask) or ()) == 4:
            axes, expected = "[batch, heads, query, key]", (batch, self.num_heads, queries, num_keys)
        self.check_shape("attention_mask", attention_mask, axes, expected, broadcast=True)
        segments = segment_pair(segment_ids)
        if segments is not None:
            query_ids, key_ids = segments
            self.check_shape("segment_ids", query_ids, "[batch, query]", (batch, queries))
            self.check_shape("segment_ids", key_ids, "[batch, key]", (batch, num_keys))

    def get_config(self):
        """Returns the constructor's arguments."""
        initializer = serialized_initializer(self.kernel_initializer)
        return {**super().get_config(), "units": self.units, "kernel_initializer": initializer}

    def as_single_head(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns an unprojected tensor as <float>[batch, 1, time, units] in the compute dtype."""
        return split_heads(tf.cast(tensor, self.compute_dtype), 1)

    def _projection(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=own_initializer(self.kernel_initializer),
            name=name,
            dtype=self.dtype_policy,
        )

    def check_query(self, shape, is_width_needed: bool = False) -> None:
        """Checks the number of axes and the width of a query.

        Args:
            shape: of the query; of a list the shapes of its items.
            is_width_needed: whether the width must be known.

        Raises:
            ValueError: they are not those of `query_axes` and `units`.
        """
        is_list = any(isinstance(size, (tuple, list)) for size in shape)
        widths = (self.units,) if is_width_needed else (self.units, None)
        if is_list or len(shape) not in self.query_axes or shape[-1] not in widths:
            axes = " or ".join(self.query_axes.values())
            hint = "; query, value and key are arguments of their own, not a list" * is_list
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the query must be {axes} and {self.units} wide "
                f"(`units`){hint}. Received: query_shape={tuple(shape)}"
            )

    def _check_width(self, name: str, shape) -> None:
        """Checks that a tensor that is not projected is `units` wide."""
        if shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the {name} is not projected, so it must be "
                f"{self.units} wide (`units`). Received: {name}_shape={tuple(shape)}"
            )


def check_positive(name: str, number: int, minimum: int = 1) -> int:
    """Returns `number` after checking that it is an integer of at least `minimum`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(number, int) or number < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={number!r}")
    return number


def static_shape(tensor: Any) -> tuple[int | None, ...] | None:
    """Returns the shape of a tensor, symbolic or not, an array or a nested list, as far as it is known.

    Returns:
        Sizes of the axes, None where not known; or None if not even their number is.
    """
    shape = tf.TensorShape(np.shape(tensor))
    return None if shape.rank is None else tuple(shape)


def shape_of_query(query: Any) -> tuple[Any, ...]:
    """Returns the shape of a query; of a list of tensors, which a layer refuses, the shape of each."""
    if isinstance(query, (tuple, list)):
        return tuple(tuple(one.shape) for one in query)
    return tuple(query.shape)


def _fits(shape: tuple, expected: tuple, broadcast: bool) -> bool:
    if broadcast:
        expected = expected[-max(len(shape), 2) :]
    return len(shape) == len(expected) and all(
        None in (own, other) or own == other or (broadcast and own == 1)
        for own, other in zip(shape, expected, strict=True)
    )


def own_initializer(initializer: Initializer) -> keras.initializers.Initializer:
    """Returns an initializer for one kernel, as one object gives kernels of one size the same numbers."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return keras.initializers.get(initializer)


def serialized_initializer(initializer: Initializer) -> str | dict[str, Any]:
    """Returns an initializer as the config of a layer holds it."""
    return initializer if isinstance(initializer, (str, dict)) else keras.initializers.serialize(initializer)
