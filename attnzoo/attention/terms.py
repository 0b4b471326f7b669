"""What a call of scaled dot-product attention consists of, checked once for every implementation."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from attnzoo.attention import masks
from attnzoo.attention.dropout import check_rate, seed_words

Window: TypeAlias = int | tuple[int, int]
"""Keys that a query sees before and after its own position; one number stands for both."""
Segments: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
"""Numbers of packed sequences, <int>[batch, time], or one tensor for the queries and one for the keys."""


def repeat_heads(tensor: tf.Tensor, heads: int) -> tf.Tensor:
    """Returns <float>[batch, heads, ...] of [batch, key_heads, ...], each head as often as it is shared."""
    shared = heads // tensor.shape[1]
    # Not even once: the gradient of a repetition in a loop has no shape that XLA knows.
    return tensor if shared == 1 else tf.repeat(tensor, shared, axis=1)


class Options(NamedTuple):
    """What is known when the program is traced."""

    causal: bool
    window: tuple[int, int] | None
    scale: float
    soft_cap: float | None
    dropout: float


class Inputs(NamedTuple):
    """The tensors. `sources` are the ones with a gradient.

    Attributes:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]; key_heads divides heads.
        value: <float>[batch, key_heads, key, value_dim].
        bias: <float> that broadcasts to [batch, heads, query, key].
        distance_bias: <float>[heads, query + key - 1].
        alibi_slopes: <float>[heads].
        sink: <float>[heads].
        padding_mask: <bool>[batch, key].
        query_segments: <int32>[batch, query].
        key_segments: <int32>[batch, key].
        start: <int32>[], position of query 0 among the keys.
        words: <int64>[2], the seed of the dropout.
    """

    query: tf.Tensor
    key: tf.Tensor
    value: tf.Tensor
    bias: tf.Tensor | None
    distance_bias: tf.Tensor | None
    alibi_slopes: tf.Tensor | None
    sink: tf.Tensor | None
    padding_mask: tf.Tensor | None
    query_segments: tf.Tensor | None
    key_segments: tf.Tensor | None
    start: tf.Tensor
    words: tf.Tensor | None

    @property
    def sources(self) -> list[tf.Tensor]:
        """The tensors with a gradient that are there, in the order of the fields."""
        return [tensor for tensor in self[:7] if tensor is not None]

    def with_sources(self, sources) -> Inputs:
        """Returns the same inputs with other tensors in the places of `sources`."""
        rest = iter(sources)
        named = zip(self._fields[:7], self[:7], strict=True)
        return self._replace(**{name: next(rest) for name, tensor in named if tensor is not None})


def prepare(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    segment_ids: Segments | None = None,
    causal: bool = False,
    window: Window | None = None,
    align: masks.Align = "top_left",
    bias: tf.Tensor | None = None,
    distance_bias: tf.Tensor | None = None,
    alibi_slopes: tf.Tensor | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    sink: tf.Tensor | None = None,
    dropout: float = 0.0,
    seed: int | tf.Tensor | None = None,
) -> tuple[Inputs, Options]:
    """Checks the arguments of `kernel.attention` and brings them into one form.

    Raises:
        ValueError: what `kernel.attention` says.
    """
    query, key, value = (tf.convert_to_tensor(tensor) for tensor in (query, key, value))
    _check_products(query, key, value)
    heads = query.shape[1]
    lengths = length(query), length(key)
    if check_rate(dropout) > 0 and seed is None:
        raise ValueError(f"Dropout needs a seed: pass seed=<integer>. Received: dropout={dropout}, seed=None")
    if soft_cap is not None and soft_cap <= 0:
        raise ValueError(f"`soft_cap` must be above 0. Received: soft_cap={soft_cap}")
    bias = _broadcastable(
        "bias",
        bias,
        (*query.shape[:3], key.shape[2]),
        [length(query, 0), heads, *lengths],
        "[batch, heads, query, key]",
    )
    both = None if None in (query.shape[2], key.shape[2]) else query.shape[2] + key.shape[2] - 1
    distance_bias = _exact("distance_bias", distance_bias, (heads, both), "[heads, query + key - 1]")
    alibi_slopes = _exact("alibi_slopes", alibi_slopes, (heads,), "[heads]")
    sink = _exact("sink", sink, (heads,), "[heads]")
    batch = query.shape[0]
    padding_mask = _exact("padding_mask", padding_mask, (batch, key.shape[2]), "[batch, key]", tf.bool)
    of_queries, of_keys = _segments(segment_ids, query, key)
    start = masks.query_start(*lengths, align)
    inputs = Inputs(
        query,
        key,
        value,
        bias,
        distance_bias,
        alibi_slopes,
        sink,
        padding_mask,
        of_queries,
        of_keys,
        tf.convert_to_tensor(start, tf.int32),
        None if seed is None or dropout == 0 else seed_words(seed),
    )
    default = float(query.shape[-1]) ** -0.5
    options = Options(causal, _sides(window), default if scale is None else scale, soft_cap, dropout)
    return inputs, options


def length(tensor: tf.Tensor, axis: int = 2) -> int | tf.Tensor:
    """Returns the size of an axis, as an integer if it is known."""
    return tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


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
    if ids is None:
        return None, None
    of_queries, of_keys = ids if isinstance(ids, tuple) else (ids, ids)
    shapes = (query.shape[0], query.shape[2]), (key.shape[0], key.shape[2])
    axes = "[batch, query]", "[batch, key]"
    return tuple(
        _exact("segment_ids", part, shape, name, tf.int32)
        for part, shape, name in zip((of_queries, of_keys), shapes, axes, strict=True)
    )


def _sides(window: Window | None) -> tuple[int, int] | None:
    if window is None:
        return None
    left, right = (window, window) if isinstance(window, int) else window
    if left < 0 or right < 0:
        raise ValueError(f"A window reaches 0 or more keys to each side. Received: window=({left}, {right})")
    return left, right
