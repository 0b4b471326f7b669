"""The arguments of scaled dot-product attention, checked once for all implementations."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.dropout import check_rate, make_rng_key
from attnzoo.attention.shapes import length

Window: TypeAlias = int | tuple[int, int]
"""Number of keys before and after its own position that a query attends to; one number for both sides."""
Segments: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
"""Ids of packed sequences, <int>[batch, time], or one tensor for the queries and one for the keys."""
LEARNED = ("bias", "distance_bias", "alibi_slopes", "sink")
"""Arguments that have a gradient, in the order of the fields."""


class AttentionArguments(NamedTuple):
    """Arguments of a call other than query, key and value, documented in `kernel.attention`."""

    bias: tf.Tensor | None = None
    distance_bias: tf.Tensor | None = None
    alibi_slopes: tf.Tensor | None = None
    sink: tf.Tensor | None = None
    padding_mask: tf.Tensor | None = None
    attention_mask: tf.Tensor | None = None
    segment_ids: Segments | None = None
    key_lengths: tf.Tensor | None = None
    align: masks.Align = "top_left"
    seed: int | tf.Tensor | None = None
    causal: bool = False
    window: Window | None = None
    scale: float | None = None
    soft_cap: float | None = None
    dropout: float = 0.0


class AttentionInputs(NamedTuple):
    """A validated call, made by `prepare`. Numbers and booleans are known when the function is traced.

    Attributes:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]; key_heads divides heads.
        value: <float>[batch, key_heads, key, value_dim].
        arguments: tensors in their full shapes, segment ids as a pair, `align` as the position `start`, and
            the seed as `rng_key`. `padding_mask` includes `key_lengths`, which are None if they do not say
            all of it.
    """

    query: tf.Tensor
    key: tf.Tensor
    value: tf.Tensor
    arguments: AttentionArguments

    @property
    def scale(self) -> float:
        """Factor that multiplies query key^T."""
        scale = self.arguments.scale
        return float(self.query.shape[-1]) ** -0.5 if scale is None else scale

    @property
    def window(self) -> tuple[int, int] | None:
        """Number of keys before and after its own position that a query attends to; None for no limit."""
        return window_sides(self.arguments.window)

    @property
    def segments(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Segment ids of the queries <int32>[batch, query] and of the keys <int32>[batch, key]."""
        return segment_pair(self.arguments.segment_ids)

    @property
    def start(self) -> tf.Tensor:
        """Position of query 0 among the keys, <int32>[]."""
        return self.arguments.align

    @property
    def rng_key(self) -> tf.Tensor | None:
        """Seed of dropout, <int64>[2]; None without dropout."""
        return self.arguments.seed

    @property
    def sources(self) -> list[tf.Tensor]:
        """Tensors that have a gradient: query, key, value and those of `LEARNED` that are not None."""
        learned = (tensor for tensor in self.arguments[: len(LEARNED)] if tensor is not None)
        return [self.query, self.key, self.value, *learned]

    def with_sources(self, sources) -> AttentionInputs:
        """Returns the same inputs with `sources` replaced."""
        query, key, value, *rest = sources
        present = [name for name in LEARNED if getattr(self.arguments, name) is not None]
        arguments = self.arguments._replace(**dict(zip(present, rest, strict=True)))
        return AttentionInputs(query, key, value, arguments)


def prepare(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, arguments: AttentionArguments
) -> AttentionInputs:
    """Validates and normalizes the arguments of `kernel.attention`.

    Raises:
        ValueError: see `kernel.attention`.
    """
    query, key, value = (tf.convert_to_tensor(tensor) for tensor in (query, key, value))
    _check_products(query, key, value)
    dropout, seed, soft_cap = arguments.dropout, arguments.seed, arguments.soft_cap
    if check_rate(dropout) > 0 and seed is None:
        raise ValueError(f"Dropout needs a seed: pass seed=<integer>. Received: dropout={dropout}, seed=None")
    if soft_cap is not None and soft_cap <= 0:
        raise ValueError(f"`soft_cap` must be above 0. Received: soft_cap={soft_cap}")
    window_sides(arguments.window)
    batch, heads = query.shape[:2]
    queries, keys = query.shape[2], key.shape[2]
    lengths = length(query), length(key)
    entries = None if None in (queries, keys) else max(0, queries + keys - 1)
    bias, attention_mask = (
        _check_broadcastable(
            name,
            tensor,
            (*query.shape[:3], keys),
            [length(query, 0), heads, *lengths],
            "[batch, heads, query, key]",
        )
        for name, tensor in (("bias", arguments.bias), ("attention_mask", arguments.attention_mask))
    )
    padding_mask = _check_shape(
        "padding_mask", arguments.padding_mask, (batch, keys), "[batch, key]", tf.bool
    )
    key_lengths = _check_shape("key_lengths", arguments.key_lengths, (batch,), "[batch]", tf.int32)
    prefix = None if key_lengths is None else masks.lengths_to_mask(key_lengths, lengths[1])
    checked = arguments._replace(
        bias=bias,
        attention_mask=None if attention_mask is None else tf.cast(attention_mask, tf.bool),
        distance_bias=_check_shape(
            "distance_bias", arguments.distance_bias, (heads, entries), "[heads, query + key - 1]"
        ),
        alibi_slopes=_check_shape("alibi_slopes", arguments.alibi_slopes, (heads,), "[heads]"),
        sink=_check_shape("sink", arguments.sink, (heads,), "[heads]"),
        padding_mask=masks.combine(padding_mask, prefix),
        key_lengths=key_lengths if padding_mask is None else None,
        segment_ids=_check_segments(arguments.segment_ids, query, key),
        align=tf.convert_to_tensor(masks.query_start(*lengths, arguments.align), tf.int32),
        seed=None if seed is None or dropout == 0 else make_rng_key(seed),
    )
    return AttentionInputs(query, key, value, checked)


def _check_products(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.shape.rank != 4:
            raise ValueError(
                f"`{name}` must have 4 axes, [batch, heads, time, dim]. Received: {name}.shape={tensor.shape}"
            )
    if not key.shape[:3].is_compatible_with(value.shape[:3]):
        raise ValueError(
            "`key` and `value` must have the same batch size, number of heads and length. "
            f"Received: key.shape={key.shape}, value.shape={value.shape}"
        )
    if not (query.shape[:1] + query.shape[3:]).is_compatible_with(key.shape[:1] + key.shape[3:]):
        raise ValueError(
            "`query` and `key` must have the same batch size and dim. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if None in (query.shape[1], key.shape[1], query.shape[3]) or query.shape[1] % key.shape[1]:
        raise ValueError(
            "`query` must have a multiple of the heads of `key`, and heads and dim must be static. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if not query.dtype == key.dtype == value.dtype or not query.dtype.is_floating:
        raise ValueError(
            "`query`, `key` and `value` must have the same floating-point dtype. "
            f"Received: {query.dtype.name}, {key.dtype.name}, {value.dtype.name}"
        )


def _check_broadcastable(name: str, tensor, shape: tuple, sizes: list, axes: str) -> tf.Tensor | None:
    """Returns a tensor that broadcasts to the logits."""
    if tensor is None:
        return None
    tensor = tf.convert_to_tensor(tensor)
    fits = tensor.shape.rank == len(shape) and all(
        own in (None, 1) or other is None or own == other
        for own, other in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` must broadcast to {axes} = {shape}. Received: {name}.shape={tensor.shape}"
        )
    if None not in tensor.shape:
        return tensor
    # Whether an axis of unknown size is broadcast must be known when the function is traced.
    own = tf.unstack(tf.shape(tensor))
    return tf.broadcast_to(
        tensor,
        [
            tf.maximum(own[axis], full) if tensor.shape[axis] is None else own[axis]
            for axis, full in enumerate(sizes)
        ],
    )


def _check_shape(name: str, tensor, shape, axes: str, dtype: tf.DType | None = None) -> tf.Tensor | None:
    """Returns the tensor, of at least this static shape, after checking it."""
    if tensor is None:
        return None
    tensor = tf.convert_to_tensor(tensor)
    if not tensor.shape.is_compatible_with(shape):
        raise ValueError(
            f"`{name}` must have the shape {axes} = {tuple(shape)}. Received: {name}.shape={tensor.shape}"
        )
    if tensor.shape.merge_with(shape) != tensor.shape:
        tensor = tf.ensure_shape(tensor, shape)
    return tensor if dtype is None else tf.cast(tensor, dtype)


def segment_pair(ids: Segments | None) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Returns the segment ids of the queries and of the keys."""
    return ids if ids is None or isinstance(ids, tuple) else (ids, ids)


def _check_segments(ids: Segments | None, query: tf.Tensor, key: tf.Tensor):
    """Returns the segment ids of the queries and of the keys, <int32>."""
    pair = segment_pair(ids)
    if pair is None:
        return None
    shapes = (query.shape[0], query.shape[2]), (key.shape[0], key.shape[2])
    axes = "[batch, query]", "[batch, key]"
    return tuple(
        _check_shape("segment_ids", part, shape, name, tf.int32)
        for part, shape, name in zip(pair, shapes, axes, strict=True)
    )


def window_sides(window: Window | None) -> tuple[int, int] | None:
    """Returns the number of keys before and after the query's position.

    Raises:
        ValueError: one of them is negative.
    """
    if window is None:
        return None
    before, after = (window, window) if isinstance(window, int) else window
    if before < 0 or after < 0:
        raise ValueError(f"Both sides of `window` must be 0 or more. Received: window=({before}, {after})")
    return before, after
