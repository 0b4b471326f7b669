"""Scaled dot-product attention: the public functions, and which implementation they take.

Every implementation must equal the one in `reference`. Those in `loops` and `cudnn` never hold all logits in
memory.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

import tensorflow as tf

from attnzoo.attention import blockwise, cudnn, masks, reference
from attnzoo.attention.arguments import (
    AttentionArguments,
    AttentionInputs,
    Segments,
    Window,
    prepare,
    window_sides,
)
from attnzoo.attention.blocks import GPU
from attnzoo.attention.compilation import (
    MAX_PLAIN_LOGITS,
    compiles_once,
    computed_logits,
    in_compiled_function,
    only_plain,
)
from attnzoo.attention.devices import device_type
from attnzoo.attention.shapes import length

Implementation = Literal["auto", "xla", "cudnn", "reference"]

_LOG = logging.getLogger(__name__)
# Up to so many keys, or query-key pairs, holding all logits in memory is faster than computing them twice.
_MAX_REFERENCE_KEYS = 256
_MAX_REFERENCE_PAIRS = 256 * 256
# As many as the blocks of a GPU hold at a time. Compiled for an H100, the reference moves fewer bytes than
# blocks at these sizes, by fewer kernels.
_MAX_GPU_LOGITS = GPU.logits


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    key_lengths: tf.Tensor | None = None,
    attention_mask: tf.Tensor | None = None,
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
    linearly with the length. Blocks that a causal mask or a window masks completely are skipped. In eager
    code, and in a function for any length, calls with at most `MAX_PLAIN_LOGITS` (2^24) logits hold them in
    memory and are not compiled; others are padded to few sizes and compiled once for each of these. Logits
    and sums are float32 (float64 for float64 inputs); a query with nothing to attend to returns zeros. On a
    GPU, float32 products use TensorFloat-32, see `tf.config.experimental.enable_tensor_float_32_execution`.
    Second derivatives are exact; they use the reference implementation, with all logits in memory.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]; key_heads divides heads. Each key head serves a group of
            heads / key_heads consecutive heads (grouped-query attention) and is not repeated in memory.
        value: <float>[batch, key_heads, key, value_dim], of the same dtype as query and key.
        padding_mask: <bool>[batch, key], True = may attend.
        key_lengths: <int>[batch], number of keys of each example; those after them are padding. Says the same
            as a padding mask, and also that it is a prefix.
        attention_mask: <bool> of rank 4 that broadcasts to [batch, heads, query, key], True = may attend.
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
        implementation: "xla" for the blockwise kernel, "cudnn" for the flash attention of cuDNN on a GPU,
            "reference" for plain TensorFlow with all logits in memory, "auto" for the best of them here, see
            `choose_implementation`. What is compiled is kept.

    Returns:
        <float>[batch, heads, query, value_dim]; with `return_lse` also <float32>[batch, heads, query],
        -inf where there is nothing to attend to. Both are differentiable with respect to query, key, value,
        bias, distance_bias, alibi_slopes and sink.

    Raises:
        ValueError: shapes or dtypes do not match, `dropout` is outside [0, 1) or without a seed, a negative
            `window`, a `soft_cap` of 0 or less, an unknown `align` or `implementation`, "cudnn" for a call
            that it cannot compute.

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
        key_lengths=key_lengths,
        attention_mask=attention_mask,
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
    output, lse = compute_attention(query, key, value, arguments, implementation, needs_lse=return_lse)
    return (output, lse) if return_lse else output


def compute_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    arguments: AttentionArguments,
    implementation: Implementation = "auto",
    *,
    needs_lse: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output and log-sum-exp; arguments and errors are those of `attention`.

    Without `needs_lse` the log-sum-exp may have no gradient.
    """
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"`implementation` must be one of {', '.join(get_args(Implementation))}. "
            f"Received: implementation={implementation!r}"
        )
    inputs = prepare(query, key, value, arguments)
    may_be_plain = implementation == "auto" and not compiles_once(inputs.query, inputs.key)
    if implementation == "auto":
        implementation, reason = _choose(inputs, needs_lse)
        _LOG.debug("attention %s x %s: %s (%s)", inputs.query.shape, inputs.key.shape, implementation, reason)
    elif implementation == "cudnn" and (refused := cudnn.refusal(inputs, needs_lse)) is not None:
        raise ValueError(
            'implementation="cudnn" cannot compute this call; use "auto", which takes cuDNN where it can. '
            f"Received: {refused}"
        )
    if implementation == "cudnn":
        return cudnn.attend(inputs)
    # The kernel has no blocks if there are no examples, queries or keys.
    if implementation == "reference" or 0 in (*inputs.query.shape, *inputs.key.shape):
        return reference.attend(inputs)
    return blockwise.attend(inputs, may_be_plain)


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
    return masks.masked_softmax(*reference.masked_logits(inputs, rows))[..., : length(key)]


def _choose(inputs: AttentionInputs, needs_lse: bool) -> tuple[Implementation, str]:
    """Returns the implementation of "auto" for a call, and why."""
    refused = cudnn.refusal(inputs, needs_lse)
    if refused is None and inputs.query.shape[2] == 1:
        refused = "one query"
    if refused is None:
        return "cudnn", "on a GPU, in a function that XLA compiles: logits stay in its fast memory"
    return _choose_without_cudnn(inputs.query, inputs.key, inputs.window, refused)


def choose_implementation(
    query: tf.Tensor,
    key: tf.Tensor,
    window: Window | None = None,
    *,
    value: tf.Tensor | None = None,
    return_lse: bool = False,
    **arguments: Any,
) -> tuple[Implementation, str]:
    """Returns the implementation that `implementation="auto"` selects here, and why.

    In eager code, and in a function for any length, a call with at most `MAX_PLAIN_LOGITS` logits takes the
    reference, whatever its length: nothing is compiled for it. If the sizes are not known when a function is
    traced, the choice of "xla" is between both, and made by this number when the function runs.

    On a GPU, in a function that XLA compiles for static shapes, it is "cudnn" for what cuDNN can compute:
    bfloat16 and float16 with a head dim that is a multiple of 8 up to 128 (256 from compute capability 9.0),
    no mask, `causal`, a window with it, `key_lengths`, or a padding mask without `causal`. Other calls take
    the reference there up to 2^26 logits.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim].
        window: that of the call. The logits that it hides are computed by the reference alone, so that fewer
            are worth it.
        value: <float>[batch, key_heads, key, value_dim]; None for one like `key`.
        return_lse: that of the call.
        **arguments: others of the call.

    Returns:
        The implementation and the reason.

    Raises:
        TypeError: an argument that `attention` does not have.

    Examples:
        >>> query = tf.zeros([1, 8, 2048, 64])
        >>> choose_implementation(query, query)
        ('xla', '2048 queries and 2048 keys: blocks of logits are faster and need less memory')
    """
    call = AttentionArguments(window=window, **arguments)
    refused = cudnn.refused_place()
    if refused is not None:
        return _choose_without_cudnn(query, key, window, refused)
    return _choose(prepare(query, key, key if value is None else value, call), return_lse)


def _choose_without_cudnn(
    query: tf.Tensor, key: tf.Tensor, window: Window | None, refused: str
) -> tuple[Implementation, str]:
    """Returns the better of the other implementations, and why, given why it is not cuDNN."""
    implementation, reason = _choose_by_size(query, key, window)
    return implementation, f"{reason}; not cuDNN: {refused}" if device_type() == "GPU" else reason


def _choose_by_size(query: tf.Tensor, key: tf.Tensor, window: Window | None) -> tuple[Implementation, str]:
    if only_plain():
        return "reference", "within plain_operations()"
    queries, keys = query.shape[2], key.shape[2]
    pairs = None if None in (queries, keys) else queries * keys
    if keys is not None and keys <= _MAX_REFERENCE_KEYS:
        return "reference", f"{keys} keys, at most {_MAX_REFERENCE_KEYS}: all logits in memory are faster"
    if pairs is not None and pairs <= _MAX_REFERENCE_PAIRS:
        return (
            "reference",
            f"{pairs} query-key pairs, at most {_MAX_REFERENCE_PAIRS}: all logits in memory are faster",
        )
    sizes = (*query.shape[:3], keys)
    if compiles_once(query, key):
        if in_compiled_function() and device_type() == "GPU" and None not in sizes:
            logits = computed_logits(sizes, window_sides(window))
            if logits <= _MAX_GPU_LOGITS:
                return (
                    "reference",
                    f"{logits} logits on a GPU, at most {_MAX_GPU_LOGITS}: all in memory need fewer kernels",
                )
    else:
        if None in sizes:
            return "xla", f"unknown sizes: the reference up to {MAX_PLAIN_LOGITS} logits, blocks for more"
        logits = computed_logits(sizes, window_sides(window))
        if logits <= MAX_PLAIN_LOGITS:
            return (
                "reference",
                f"{logits} logits outside of a function for these lengths, at most {MAX_PLAIN_LOGITS}: "
                "compiling would take longer",
            )
    return "xla", f"{queries} queries and {keys} keys: blocks of logits are faster and need less memory"
