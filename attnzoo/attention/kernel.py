"""Scaled dot-product attention: the function that everything else calls."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import tensorflow as tf

from attnzoo.attention import blocks, loops, masks, reference
from attnzoo.attention.terms import Inputs, Options, Segments, Window, prepare

Implementation = Literal["auto", "xla", "reference"]

_LOG = logging.getLogger(__name__)
# Up to so many keys, or pairs of query and key, scores in memory cost less than computing them twice.
_FEW_KEYS = 256
_FEW_PAIRS = 256 * 256


def _compiled(inputs: Inputs, options: Options) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins `loops.forward` and `loops.backward` into one differentiable function."""
    targets = blocks.targets()

    @tf.custom_gradient
    def gradients(*tensors):
        *sources, _, _, output_gradient, lse_gradient = tensors

        def gradient_of_gradient(*upstream):
            # Rare: every score in memory, through the reference; output and lse follow from the sources.
            with tf.GradientTape() as outer:
                outer.watch([*sources, output_gradient, lse_gradient])
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    results = reference.compute(inputs.with_sources(sources), options)
                first = inner.gradient(results, sources, output_gradients=[output_gradient, lse_gradient])
            second = outer.gradient(
                first, [*sources, output_gradient, lse_gradient], output_gradients=upstream
            )
            return [*second[:-2], None, None, *second[-2:]]

        stopped = [tf.stop_gradient(tensor) for tensor in tensors]
        replaced = inputs.with_sources(stopped[:-4])
        return loops.backward(replaced, *stopped[-4:], options, targets), gradient_of_gradient

    @tf.custom_gradient
    def compute(*sources):
        # Under an eager tape TensorFlow would differentiate the program itself as well, and keep every block.
        stopped = inputs.with_sources([tf.stop_gradient(source) for source in sources])
        output, lse = loops.forward(stopped, options, targets)
        # The backward pass takes a difference of close numbers, so it gets the output before it is rounded.
        rounded = tf.cast(output, inputs.value.dtype)
        return (rounded, lse), lambda *upstream: gradients(*sources, output, lse, *upstream)

    return compute(*inputs.sources)


@tf.function(jit_compile=True, autograph=False)
def _short(inputs: Inputs, options: Options) -> tuple[tf.Tensor, tf.Tensor]:
    return reference.compute(inputs, options)


def choose_implementation(query: tf.Tensor, key: tf.Tensor) -> tuple[Implementation, str]:
    """Says what `implementation="auto"` takes, and why.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim].

    Returns:
        The implementation and the reason in words.
    """
    queries, keys = query.shape[2], key.shape[2]
    pairs = None if None in (queries, keys) else queries * keys
    if keys is not None and keys <= _FEW_KEYS:
        return "reference", f"{keys} keys, at most {_FEW_KEYS}: scores in memory are faster"
    if pairs is not None and pairs <= _FEW_PAIRS:
        return "reference", f"{pairs} pairs, at most {_FEW_PAIRS}: scores in memory are faster"
    return "xla", f"{queries} queries and {keys} keys: blocks of scores are faster and smaller"


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

    Forward and backward pass are compiled by XLA and hold a few blocks of scores only: extra memory grows
    with the length, not with its square. Blocks that a causal mask or a window hides are not computed. Scores
    and sums are float32 whatever the inputs (float64 of float64); a query with nothing to attend to gives
    zeros. In float32 on a GPU the products use TensorFloat-32 unless
    `tf.config.experimental.enable_tensor_float_32_execution(False)`.

    Second derivatives are right, and computed by the reference, with every score in memory.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, key_heads, key, dim]. key_heads divides heads: each key head serves
            heads / key_heads heads that follow each other (grouped queries), and is not repeated.
        value: <float>[batch, key_heads, key, value_dim], of the type of query and key.
        padding_mask: <bool>[batch, key], True = may attend.
        segment_ids: <int>[batch, time], the number of the packed sequence that a position belongs to, or a
            pair <int>[batch, query], <int>[batch, key]. Only positions of one sequence see each other.
        causal: a query sees the keys up to its own position.
        window: number of keys that a query sees before and after its own position, 0 or more; a pair for
            (before, after).
        align: where query 0 stands among the keys, for `causal`, `window` and ALiBi: "top_left" at key 0;
            "bottom_right" so that the last query stands at the last key; or its position, an integer or
            <int>[].
        bias: <float> of rank 4 that broadcasts to [batch, heads, query, key]; -inf forbids a pair.
        distance_bias: <float>[heads, query + key - 1], a bias that depends on the distance only: query i and
            key j get entry j - i + query - 1.
        alibi_slopes: <float>[heads]; slope * distance is taken from the scores (ALiBi).
        scale: factor of the products; None for 1 / sqrt(dim).
        soft_cap: limit c of the scores, biases included, c * tanh(scores / c); above 0.
        sink: <float>[heads], the score of one more key that has no value and takes part of the weight.
        dropout: share of the weights to drop, in [0, 1).
        seed: integer, <int>[] or <int>[2], needed if `dropout` is above 0; it decides what is dropped.
        return_lse: also return the log of the sum of the exponentials of each row.
        implementation: "xla" for the kernel, "reference" for plain TensorFlow with every score in memory,
            "auto" for what `choose_implementation` says.

    Returns:
        <float>[batch, heads, query, value_dim]; with `return_lse` also <float32>[batch, heads, query],
        -inf where there is nothing to attend to. Both have gradients, and so have query, key, value, bias,
        distance_bias, alibi_slopes and sink.

    Raises:
        ValueError: shapes or types that do not belong together, `dropout` outside [0, 1) or without a seed, a
            window below 0, a cap of 0 or less, an unknown `align` or `implementation`.

    Reference: ALiBi, Press et al. 2022, https://arxiv.org/abs/2108.12409; grouped queries, Ainslie et al.
        2023, https://arxiv.org/abs/2305.13245; sinks, Xiao et al. 2024, https://arxiv.org/abs/2309.17453;
        soft cap, Gemma Team 2024, https://arxiv.org/abs/2408.00118
    """
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"`implementation` must be one of {', '.join(get_args(Implementation))}. "
            f"Received: implementation={implementation!r}"
        )
    inputs, options = prepare(
        query,
        key,
        value,
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
    # There is no block in a call without examples, queries or keys.
    if implementation == "reference" or 0 in (*inputs.query.shape, *inputs.key.shape):
        output, lse = reference.compute(inputs, options)
    elif implementation == "xla":
        output, lse = _compiled(inputs, options)
    else:
        chosen, reason = choose_implementation(inputs.query, inputs.key)
        _LOG.debug("attention %s x %s: %s (%s)", inputs.query.shape, inputs.key.shape, chosen, reason)
        # Inside a compiled function XLA takes the inputs of a nested one with a gradient for constants, and
        # compiles anew for every value.
        short = _short if tf.executing_eagerly() else reference.compute
        output, lse = (short if chosen == "reference" else _compiled)(inputs, options)
    return (output, lse) if return_lse else output
