"""What a call of scaled dot-product attention consists of, checked once for every implementation."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.dropout import check_rate, make_rng_key
from attnzoo.attention.shapes import length

Window: TypeAlias = int | tuple[int, int]
"""Keys that a query sees before and after its own position; one number stands for both."""
Segments: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
"""Numbers of packed sequences, <int>[batch, time], or one tensor for the queries and one for the keys."""
LEARNED = ("bias", "distance_bias", "alibi_slopes", "sink")
"""The arguments with a gradient, in the order of the fields."""


class AttentionArguments(NamedTuple):
    """What a call is given besides query, key and value; `kernel.attention` says what each of them is."""

    bias: tf.Tensor | None = None
    distance_bias: tf.Tensor | None = None
    alibi_slopes: tf.Tensor | None = None
    sink: tf.Tensor | None = None
    padding_mask: tf.Tensor | None = None
    segment_ids: Segments | None = None
    align: masks.Align = "top_left"
    seed: int | tf.Tensor | None = None
    causal: bool = False
    window: Window | None = None
    scale: float | None = None
    soft_cap: float | None = None
    dropout: float = 0.0


class AttentionInputs(NamedTuple):
    """A checked call, as `prepare` makes it. Numbers and booleans are known when a program is traced.

    Attributes:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]; key_heads divides heads.
        value: <float>[batch, key_heads, key, value_dim].
        arguments: with tensors of the shapes that they stand for, numbers of segments as a pair, `align` as
            `start` and the seed as `rng_key`.
    """

    query: tf.Tensor
    key: tf.Tensor
    value: tf.Tensor
    arguments: AttentionArguments

    @property
    def scale(self) -> float:
        """Factor of the products."""
        scale = self.arguments.scale
        return float(self.query.shape[-1]) ** -0.5 if scale is None else scale

    @property
    def window(self) -> tuple[int, int] | None:
        """Number of keys that a query sees before and after its own position; None for no limit."""
        return window_sides(self.arguments.window)

    @property
    def segments(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Numbers of the queries <int32>[batch, query] and of the keys <int32>[batch, key]."""
        return pair_of_segments(self.arguments.segment_ids)

    @property
    def start(self) -> tf.Tensor:
        """Position of query 0 among the keys, <int32>[]."""
        return self.arguments.align

    @property
    def rng_key(self) -> tf.Tensor | None:
        """Seed of the dropout, <int64>[2]; None where nothing is dropped."""
        return self.arguments.seed

    @property
    def sources(self) -> list[tf.Tensor]:
        """The tensors with a gradient that are there: query, key, value and what is learned."""
        learned = (tensor for tensor in self.arguments[: len(LEARNED)] if tensor is not None)
        return [self.query, self.key, self.value, *learned]

    def with_sources(self, sources) -> AttentionInputs:
        """Returns the same inputs with other tensors in the places of `sources`."""
        query, key, value, *rest = sources
        present = [name for name in LEARNED if getattr(self.arguments, name) is not None]
        arguments = self.arguments._replace(**dict(zip(present, rest, strict=True)))
        return AttentionInputs(query, key, value, arguments)


def prepare(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, arguments: AttentionArguments
) -> AttentionInputs:
    """Checks a call of `kernel.attention` and brings it into one form.

    Raises:
        ValueError: what `kernel.attention` says.
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
    entries = None if None in (queries, keys) else queries + keys - 1
    bias = _broadcastable(
        "bias",
        arguments.bias,
        (*query.shape[:3], keys),
        [length(query, 0), heads, *lengths],
        "[batch, heads, query, key]",
    )
    checked = arguments._replace(
        bias=bias,
        distance_bias=_exact(
            "distance_bias", arguments.distance_bias, (heads, entries), "[heads, query + key - 1]"
        ),
        alibi_slopes=_exact("alibi_slopes", arguments.alibi_slopes, (heads,), "[heads]"),
        sink=_exact("sink", arguments.sink, (heads,), "[heads]"),
        padding_mask=_exact("padding_mask", arguments.padding_mask, (batch, keys), "[batch, key]", tf.bool),
        segment_ids=_segments(arguments.segment_ids, query, key),
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
            "`key` and `value` must agree in batch, heads and length. "
            f"Received: key.shape={key.shape}, value.shape={value.shape}"
        )
    if not (query.shape[:1] + query.shape[3:]).is_compatible_with(key.shape[:1] + key.shape[3:]):
        raise ValueError(
            "`query` and `key` must agree in batch and dim. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if None in (query.shape[1], key.shape[1], query.shape[3]) or query.shape[1] % key.shape[1]:
        raise ValueError(
            "The heads of `query` must be a known multiple of those of `key`, and the dim known. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if not query.dtype == key.dtype == value.dtype or not query.dtype.is_floating:
        raise ValueError(
            "`query`, `key` and `value` must have one floating type. "
            f"Received: {query.dtype.name}, {key.dtype.name}, {value.dtype.name}"
        )


def _broadcastable(name: str, tensor, shape: tuple, sizes: list, axes: str) -> tf.Tensor | None:
    """Returns a tensor that broadcasts to the scores."""
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
    # Whether an axis of unknown size is broadcast has to be known when the program is traced.
    own = tf.unstack(tf.shape(tensor))
    return tf.broadcast_to(
        tensor,
        [
            tf.maximum(own[axis], full) if tensor.shape[axis] is None else own[axis]
            for axis, full in enumerate(sizes)
        ],
    )


def _exact(name: str, tensor, shape, axes: str, dtype: tf.DType | None = None) -> tf.Tensor | None:
    """Returns a tensor of one shape."""
    if tensor is None:
        return None
    tensor = tf.convert_to_tensor(tensor)
    if not tensor.shape.is_compatible_with(shape):
        raise ValueError(
            f"`{name}` must have the shape {axes} = {tuple(shape)}. Received: {name}.shape={tensor.shape}"
        )
    return tensor if dtype is None else tf.cast(tensor, dtype)


def pair_of_segments(ids: Segments | None) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Returns the numbers of the queries and those of the keys."""
    return ids if ids is None or isinstance(ids, tuple) else (ids, ids)


def _segments(ids: Segments | None, query: tf.Tensor, key: tf.Tensor):
    """Returns the numbers of the queries and those of the keys, <int32>."""
    pair = pair_of_segments(ids)
    if pair is None:
        return None
    shapes = (query.shape[0], query.shape[2]), (key.shape[0], key.shape[2])
    axes = "[batch, query]", "[batch, key]"
    return tuple(
        _exact("segment_ids", part, shape, name, tf.int32)
        for part, shape, name in zip(pair, shapes, axes, strict=True)
    )


def window_sides(window: Window | None) -> tuple[int, int] | None:
    """Returns the number of keys before and after.

    Raises:
        ValueError: one of them is below 0.
    """
    if window is None:
        return None
    before, after = (window, window) if isinstance(window, int) else window
    if before < 0 or after < 0:
        raise ValueError(
            f"A window reaches 0 or more keys to each side. Received: window=({before}, {after})"
        )
    return before, after
