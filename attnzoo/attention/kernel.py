"""Scaled dot-product attention: the public functions and the reference implementation in plain einsum.

Every implementation must equal the reference. The one in `loops` never holds all logits in memory.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

import tensorflow as tf

from attnzoo.attention import blocks, loops, masks
from attnzoo.attention.arguments import AttentionArguments, AttentionInputs, Segments, Window, prepare
from attnzoo.attention.dropout import drop
from attnzoo.attention.shapes import length, repeat_heads

Implementation = Literal["auto", "xla", "reference"]

_LOG = logging.getLogger(__name__)
# Up to so many keys, or query-key pairs, keeping all logits in memory is faster than computing them twice.
_MAX_REFERENCE_KEYS = 256
_MAX_REFERENCE_PAIRS = 256 * 256


def attention(
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
    return_lse: bool = False,
    implementation: Implementation = "auto",
) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Scaled dot-product attention, softmax(scale * query key^T + biases) value.

    The forward and backward passes are compiled by XLA and keep only a few blocks of logits: memory grows
    linearly with the length. Blocks that a causal mask or a window masks completely are skipped. Logits and
    sums are float32 (float64 for float64 inputs); a query with nothing to attend to returns zeros. On a GPU,
    float32 products use TensorFloat-32, see `tf.config.experimental.enable_tensor_float_32_execution`.
    Second derivatives are exact; they use the reference implementation, with all logits in memory.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]; key_heads divides heads. Each key head serves a group of
            heads / key_heads consecutive heads (grouped-query attention) and is not repeated in memory.
        value: <float>[batch, key_heads, key, value_dim], of the same dtype as query and key.
        padding_mask: <bool>[batch, key], True = may attend.
        segment_ids: <int>[batch, time], ids of packed sequences, or a pair <int>[batch, query],
            <int>[batch, key]. Only positions with equal ids attend to each other.
        causal: whether a query attends only to keys up to its own position.
        window: number of keys before and after its own position that a query attends to, 0 or more; a pair
            for (before, after).
        align: position of query 0 among the keys, for `causal`, `window` and ALiBi: "top_left" for key 0;
            "bottom_right" aligns the last query with the last key; or an integer or <int>[].
        bias: <float> of rank 4 that broadcasts to [batch, heads, query, key]; -inf masks a pair.
        distance_bias: <float>[heads, query + key - 1], a relative position bias: entry j - i + query - 1 is
            added for query i and key j.
        alibi_slopes: <float>[heads]; slope * distance is subtracted from the logits (ALiBi).
        scale: factor that multiplies query key^T; None for 1 / sqrt(dim).
        soft_cap: c in c * tanh(logits / c), which bounds the logits, biases included; above 0.
        sink: <float>[heads], logit of an extra key without a value, which absorbs part of the weight.
        dropout: fraction of the attention weights to drop, in [0, 1).
        seed: integer, <int>[] or <int>[2]; required if `dropout` is above 0, and determines the dropout mask.
        return_lse: also return the log-sum-exp of each row of logits.
        implementation: "xla" for the blockwise kernel, "reference" for plain TensorFlow with all logits in
            memory, "auto" for the choice of `choose_implementation`.

    Returns:
        <float>[batch, heads, query, value_dim]; with `return_lse` also <float32>[batch, heads, query],
        -inf where there is nothing to attend to. Both are differentiable with respect to query, key, value,
        bias, distance_bias, alibi_slopes and sink.

    Raises:
        ValueError: shapes or dtypes do not match, `dropout` is outside [0, 1) or without a seed, a negative
            `window`, a `soft_cap` of 0 or less, an unknown `align` or `implementation`.

    Reference: ALiBi, Press et al. 2022, https://arxiv.org/abs/2108.12409; grouped queries, Ainslie et al.
        2023, https://arxiv.org/abs/2305.13245; sinks, Xiao et al. 2024, https://arxiv.org/abs/2309.17453;
        soft cap, Gemma Team 2024, https://arxiv.org/abs/2408.00118

    Examples:
        >>> query, key, value = tf.random.normal([3, 2, 4, 7, 8])  # each [batch, heads, time, dim]
        >>> attention(query, key, value, causal=True, window=3).shape
        TensorShape([2, 4, 7, 8])
    """
    arguments = AttentionArguments(
        padding_mask=padding_mask,
        segment_ids=segment_ids,
        causal=causal,
        window=window,
        align=align,
        bias=bias,
        distance_bias=distance_bias,
        alibi_slopes=alibi_slopes,
        scale=scale,
        soft_cap=soft_cap,
        sink=sink,
        dropout=dropout,
        seed=seed,
    )
    output, lse = compute_attention(query, key, value, arguments, implementation)
    return (output, lse) if return_lse else output


def compute_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    arguments: AttentionArguments,
    implementation: Implementation = "auto",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output and log-sum-exp; arguments and errors are those of `attention`."""
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"`implementation` must be one of {', '.join(get_args(Implementation))}. "
            f"Received: implementation={implementation!r}"
        )
    inputs = prepare(query, key, value, arguments)
    # The kernel has no blocks if there are no examples, queries or keys.
    if implementation == "reference" or 0 in (*inputs.query.shape, *inputs.key.shape):
        return _reference(inputs)
    if implementation == "xla":
        return _blockwise(inputs)
    chosen, reason = choose_implementation(inputs.query, inputs.key)
    _LOG.debug("attention %s x %s: %s (%s)", inputs.query.shape, inputs.key.shape, chosen, reason)
    if chosen == "xla":
        return _blockwise(inputs)
    # Inside a compiled function, XLA treats the inputs of a nested function with a gradient as constants and
    # recompiles for every value.
    return _compiled_reference(inputs) if tf.executing_eagerly() else _reference(inputs)


def attention_weights(
    query: tf.Tensor, key: tf.Tensor, *, rows: tf.Tensor | None = None, **arguments: Any
) -> tf.Tensor:
    """Returns the attention weights of `attention`, before dropout.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim].
        rows: <int>[row], indices of the queries; None for all. Memory grows with their number.
        **arguments: those of `attention` that affect the weights.

    Returns:
        <float32>[batch, heads, row, key]. Rows sum to 1, to 0 if there is nothing to attend to, and to less
        than 1 with a sink.

    Raises:
        ValueError: see `attention`.

    Examples:
        >>> ones = tf.ones([1, 1, 3, 4])
        >>> attention_weights(ones, ones, causal=True).numpy().round(2).tolist()
        [[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33..., 0.33..., 0.33...]]]]
    """
    return compute_attention_weights(query, key, AttentionArguments(**arguments), rows)


def compute_attention_weights(
    query: tf.Tensor, key: tf.Tensor, arguments: AttentionArguments, rows: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the attention weights; arguments are those of `attention_weights`."""
    inputs = prepare(query, key, key, arguments)
    rows = None if rows is None else tf.convert_to_tensor(rows, tf.int32)
    return masks.masked_softmax(*_logits(inputs, rows))[..., : length(key)]


def choose_implementation(query: tf.Tensor, key: tf.Tensor) -> tuple[Implementation, str]:
    """Returns the implementation that `implementation="auto"` selects, and why.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim].

    Returns:
        The implementation and the reason.

    Examples:
        >>> query = tf.zeros([1, 8, 2048, 64])
        >>> choose_implementation(query, query)
        ('xla', '2048 queries and 2048 keys: blocks of logits are faster and need less memory')
    """
    queries, keys = query.shape[2], key.shape[2]
    pairs = None if None in (queries, keys) else queries * keys
    if keys is not None and keys <= _MAX_REFERENCE_KEYS:
        return "reference", f"{keys} keys, at most {_MAX_REFERENCE_KEYS}: all logits in memory are faster"
    if pairs is not None and pairs <= _MAX_REFERENCE_PAIRS:
        return (
            "reference",
            f"{pairs} query-key pairs, at most {_MAX_REFERENCE_PAIRS}: all logits in memory are faster",
        )
    return "xla", f"{queries} queries and {keys} keys: blocks of logits are faster and need less memory"


def _logits(inputs: AttentionInputs, rows: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the logits and their mask.

    Args:
        inputs: the call.
        rows: <int32>[row], indices of the queries; None for all.

    Returns:
        Logits <float32>[batch, heads, row, key] (<float64> for <float64>), with a sink as one more key; and
        the mask, <bool> that broadcasts to the logits, or None if every pair is allowed.
    """
    arguments = inputs.arguments
    dtype = tf.float64 if inputs.query.dtype == tf.float64 else tf.float32
    queries, keys = length(inputs.query), length(inputs.key)
    index = tf.range(queries) if rows is None else rows  # [row]

    def select_rows(tensor, axis):
        return tensor if rows is None or tensor is None else tf.gather(tensor, rows, axis=axis)

    query, key = tf.cast(select_rows(inputs.query, 2), dtype), tf.cast(inputs.key, dtype)
    key = repeat_heads(key, query.shape[1])
    logits = tf.einsum("bhqd,bhkd->bhqk", query, key) * inputs.scale  # [batch, heads, row, key]
    finite = None
    if arguments.bias is not None:
        bias = tf.cast(
            arguments.bias if arguments.bias.shape[2] == 1 else select_rows(arguments.bias, 2), dtype
        )
        finite = bias > -float("inf")
        logits += tf.where(finite, bias, tf.zeros([], dtype))
    distance = tf.range(keys)[None, :] - (index + inputs.start)[:, None]  # [row, key]
    if arguments.distance_bias is not None:
        # Entry 0 is for the last query and the first key.
        entry = tf.range(keys)[None, :] - index[:, None] + queries - 1
        logits += tf.gather(tf.cast(arguments.distance_bias, dtype), entry, axis=1)  # [heads, row, key]
    if arguments.alibi_slopes is not None:
        logits -= tf.cast(arguments.alibi_slopes, dtype)[:, None, None] * tf.cast(tf.abs(distance), dtype)
    if arguments.soft_cap is not None:
        logits = arguments.soft_cap * tf.tanh(logits / arguments.soft_cap)
    segments = inputs.segments
    allowed = masks.allowed_pairs(
        distance,
        padding_mask=arguments.padding_mask,
        segments=None if segments is None else (select_rows(segments[0], 1), segments[1]),
        causal=arguments.causal,
        window=inputs.window,
    )
    allowed = masks.combine(allowed, finite)
    if arguments.sink is None:
        return logits, allowed
    sink = tf.zeros_like(logits[..., :1]) + tf.cast(arguments.sink, dtype)[:, None, None]
    if allowed is not None:
        allowed = tf.broadcast_to(allowed, tf.shape(logits))
        allowed = tf.concat([allowed, tf.ones_like(allowed[..., :1])], axis=-1)
    return tf.concat([logits, sink], axis=-1), allowed


def _reference(inputs: AttentionInputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
    logits, allowed = _logits(inputs)
    weights = masks.masked_softmax(logits, allowed)[..., : length(inputs.key)]  # without the sink
    if inputs.rng_key is not None:
        weights = drop(weights, inputs.arguments.dropout, inputs.rng_key)
    value = tf.cast(inputs.value, weights.dtype)
    value = repeat_heads(value, inputs.query.shape[1])
    output = tf.cast(tf.einsum("bhqk,bhkd->bhqd", weights, value), inputs.value.dtype)
    if allowed is None:
        return output, tf.reduce_logsumexp(logits, axis=-1)
    lse = tf.reduce_logsumexp(tf.where(allowed, logits, logits.dtype.min), axis=-1)  # [batch, heads, query]
    return output, tf.where(tf.reduce_any(allowed, axis=-1), lse, tf.constant(-float("inf"), lse.dtype))


@tf.function(jit_compile=True, autograph=False)
def _compiled_reference(inputs: AttentionInputs) -> tuple[tf.Tensor, tf.Tensor]:
    return _reference(inputs)


def _blockwise(inputs: AttentionInputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Combines `loops.forward` and `loops.backward` into one differentiable function."""
    sizes = blocks.block_sizes()

    @tf.custom_gradient
    def gradients(*tensors):
        *sources, _, _, grad_output, grad_lse = tensors

        def gradient_of_gradient(*upstream):
            # Rare, so it uses the reference, with all logits in memory; it recomputes output and lse.
            with tf.GradientTape() as outer:
                outer.watch([*sources, grad_output, grad_lse])
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    results = _reference(inputs.with_sources(sources))
                first = inner.gradient(results, sources, output_gradients=[grad_output, grad_lse])
            second = outer.gradient(first, [*sources, grad_output, grad_lse], output_gradients=upstream)
            return [*second[:-2], None, None, *second[-2:]]

        stopped = [tf.stop_gradient(tensor) for tensor in tensors]
        replaced = inputs.with_sources(stopped[:-4])
        return loops.backward(replaced, *stopped[-4:], sizes), gradient_of_gradient

    @tf.custom_gradient
    def compute(*sources):
        # An eager tape would otherwise also differentiate the compiled function, and keep every block.
        stopped = inputs.with_sources([tf.stop_gradient(source) for source in sources])
        output, lse = loops.forward(stopped, sizes)
        # The backward pass subtracts nearly equal numbers, so it gets the output before rounding.
        rounded = tf.cast(output, inputs.value.dtype)
        return (rounded, lse), lambda *upstream: gradients(*sources, output, lse, *upstream)

    return compute(*inputs.sources)
