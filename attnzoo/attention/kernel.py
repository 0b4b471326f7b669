"""Scaled dot-product attention compiled by XLA, with a gradient of its own.

Only query, key, value, output and one number a row (lse, the log of the softmax sum) live from the forward to
the backward pass; the weights are computed again, in blocks of queries. (XLA on a CPU runs a pass's blocks
all at once, so there a single pass holds all scores.)

    S = scale * Q K^T + bias    P = exp(S - lse)    O = (P * M) V           M: dropout, 0 or 1 / (1 - rate)
    D = rowsum(dO * O) - dlse   dP = (dO V^T) * M   dS = P * (dP - D)
    dQ = scale * dS K           dK = scale * dS^T Q           dV = (P * M)^T dO         dbias = dS

Reference: Rabe and Staats 2021, https://arxiv.org/abs/2112.05682; Dao 2023, https://arxiv.org/abs/2307.08691
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import tensorflow as tf

from attnzoo.attention import reference
from attnzoo.attention.dropout import keep_mask, seed_words

Implementation = Literal["auto", "xla", "reference"]

_ONE_BLOCK = 512
_MAX_BLOCKS = 16


class _Options(NamedTuple):
    """What is known when the program is traced."""

    causal: bool
    scale: float
    dropout: float


class _Inputs(NamedTuple):
    """What the weights are computed from."""

    query: tf.Tensor
    key: tf.Tensor
    value: tf.Tensor
    padding_mask: tf.Tensor | None
    bias: tf.Tensor | None
    words: tf.Tensor | None


class _Block(NamedTuple):
    """Queries `start` to `stop` and the keys up to `key_stop` that they may see; None: to the end."""

    start: int
    stop: int | None
    key_stop: int | None


def _blocks(query_length: int | None, key_length: int | None, causal: bool) -> list[_Block]:
    """Splits the queries. A length unknown at trace time gives one block, as do short sequences."""
    if query_length is None or key_length is None or query_length <= _ONE_BLOCK:
        return [_Block(0, None, None)]
    size = max(256, -(-query_length // (_MAX_BLOCKS * 64)) * 64)
    blocks = []
    for start in range(0, query_length, size):
        stop = min(start + size, query_length)
        blocks.append(_Block(start, stop, min(stop, key_length) if causal else key_length))
    return blocks


def _bias_block(bias: tf.Tensor, block: _Block) -> tf.Tensor:
    """Cuts the block out of the axes that the bias does not broadcast over."""
    if bias.shape[2] != 1:
        bias = bias[:, :, block.start : block.stop]
    return bias if bias.shape[3] == 1 else bias[..., : block.key_stop]


def _scores(inputs: _Inputs, block: _Block, options: _Options) -> tf.Tensor:
    """Returns <float32>[batch, heads, block, key], -inf where a query may not attend."""
    query = inputs.query[:, :, block.start : block.stop]  # [batch, heads, block, dim]
    key = inputs.key[:, :, : block.key_stop]  # [batch, heads, key, dim]
    # Sums in float32 whatever the inputs: the scores of half precision are not rounded before the softmax.
    scores = tf.matmul(query, key, transpose_b=True, output_type=tf.float32) * options.scale
    if inputs.bias is not None:
        scores += tf.cast(_bias_block(inputs.bias, block), tf.float32)
    mask = inputs.padding_mask
    mask = None if mask is None else mask[:, : block.key_stop]
    stop = tf.shape(inputs.query)[2] if block.stop is None else block.stop
    allowed = reference.allowed_pairs(stop, tf.shape(key)[2], mask, options.causal)
    if allowed is None:
        return scores
    if options.causal:
        allowed = allowed[:, :, block.start :]
    return tf.where(allowed, scores, -float("inf"))


def _dropout_factor(inputs: _Inputs, scores: tf.Tensor, block: _Block, rate: float) -> tf.Tensor:
    """Returns <float32>[batch, heads, block, key]: 0 or 1 / (1 - rate)."""
    keep = keep_mask(inputs.words, rate, tf.shape(scores), block.start)
    return tf.where(keep, 1 / (1 - rate), 0.0)


@tf.function(jit_compile=True, autograph=False)
def _forward(inputs: _Inputs, options: _Options) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float>[batch, heads, query, dim] and lse <float32>[batch, heads, query]."""
    outputs, sums = [], []
    for block in _blocks(inputs.query.shape[2], inputs.key.shape[2], options.causal):
        scores = _scores(inputs, block, options)  # [batch, heads, block, key]
        highest = tf.reduce_max(scores, axis=-1, keepdims=True)
        # A row with nothing to attend to: -inf - (-inf) would be NaN.
        highest = tf.where(tf.math.is_inf(highest), 0.0, highest)
        weights = tf.exp(scores - highest)
        total = tf.reduce_sum(weights, axis=-1, keepdims=True)  # [batch, heads, block, 1]
        if options.dropout > 0:
            weights *= _dropout_factor(inputs, scores, block, options.dropout)
        value = inputs.value[:, :, : block.key_stop]
        output = tf.matmul(tf.cast(weights, value.dtype), value, output_type=tf.float32)
        outputs.append(tf.cast(tf.math.divide_no_nan(output, total), value.dtype))
        sums.append(tf.squeeze(highest + tf.math.log(total), axis=-1))
    return tf.concat(outputs, axis=2), tf.concat(sums, axis=2)


@tf.function(jit_compile=True, autograph=False)
def _backward(
    inputs: _Inputs,
    output: tf.Tensor,
    lse: tf.Tensor,
    output_gradient: tf.Tensor,
    lse_gradient: tf.Tensor,
    options: _Options,
) -> list[tf.Tensor]:
    """Returns the gradients of query, key, value and, if there is one, bias."""
    dtype = inputs.query.dtype
    products = tf.cast(output_gradient, tf.float32) * tf.cast(output, tf.float32)
    correction = tf.reduce_sum(products, axis=-1) - lse_gradient  # [batch, heads, query]
    safe_lse = tf.where(tf.math.is_inf(lse), 0.0, lse)
    query_gradients = []
    key_gradient = tf.zeros_like(inputs.key, tf.float32)
    value_gradient = tf.zeros_like(inputs.value, tf.float32)
    bias_gradient = None if inputs.bias is None else tf.zeros_like(inputs.bias)
    for block in _blocks(inputs.query.shape[2], inputs.key.shape[2], options.causal):
        rows, columns = slice(block.start, block.stop), slice(0, block.key_stop)
        query, key, value = inputs.query[:, :, rows], inputs.key[:, :, columns], inputs.value[:, :, columns]
        upstream = tf.cast(output_gradient[:, :, rows], dtype)  # [batch, heads, block, dim]
        scores = _scores(inputs, block, options)  # [batch, heads, block, key]
        weights = tf.exp(scores - safe_lse[:, :, rows, None])
        dropped = weights
        weights_gradient = tf.matmul(upstream, value, transpose_b=True, output_type=tf.float32)
        if options.dropout > 0:
            factor = _dropout_factor(inputs, scores, block, options.dropout)
            dropped *= factor
            weights_gradient *= factor
        scores_gradient = weights * (weights_gradient - correction[:, :, rows, None])
        products_gradient = tf.cast(scores_gradient * options.scale, dtype)
        query_gradients.append(tf.cast(tf.matmul(products_gradient, key, output_type=tf.float32), dtype))
        key_part = tf.matmul(products_gradient, query, transpose_a=True, output_type=tf.float32)
        value_part = tf.matmul(tf.cast(dropped, dtype), upstream, transpose_a=True, output_type=tf.float32)
        key_gradient += _pad_keys(key_part, key_gradient)
        value_gradient += _pad_keys(value_part, value_gradient)
        if inputs.bias is not None:
            bias_gradient += _gradient_of_bias(inputs.bias, block, scores_gradient)
    gradients = [tf.concat(query_gradients, axis=2), tf.cast(key_gradient, dtype)]
    gradients.append(tf.cast(value_gradient, dtype))
    return gradients if bias_gradient is None else [*gradients, bias_gradient]


def _pad_keys(part: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
    """Adds zeros for the keys that the block did not see."""
    missing = tf.shape(whole)[2] - tf.shape(part)[2]
    return tf.pad(part, [[0, 0], [0, 0], [0, missing], [0, 0]])


def _gradient_of_bias(bias: tf.Tensor, block: _Block, scores_gradient: tf.Tensor) -> tf.Tensor:
    """Sums over the axes that the bias was broadcast along; TensorFlow knows the transpose of both steps."""
    with tf.GradientTape() as tape:
        tape.watch(bias)
        spread = tf.broadcast_to(_bias_block(bias, block), tf.shape(scores_gradient))
    return tape.gradient(spread, bias, output_gradients=tf.cast(scores_gradient, bias.dtype))


def _compiled(inputs: _Inputs, options: _Options) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins `_forward` and `_backward` into one differentiable function."""
    sources = [
        tensor for tensor in (inputs.query, inputs.key, inputs.value, inputs.bias) if tensor is not None
    ]

    @tf.custom_gradient
    def gradients(*tensors):
        *sources, _, _, output_gradient, lse_gradient = tensors

        def gradient_of_gradient(*upstream):
            # Rare: every score in memory, through the reference; output and lse follow from the sources.
            with tf.GradientTape() as outer:
                outer.watch([*sources, output_gradient, lse_gradient])
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    results = _reference(_replace(inputs, sources), options)
                first = inner.gradient(results, sources, output_gradients=[output_gradient, lse_gradient])
            second = outer.gradient(
                first, [*sources, output_gradient, lse_gradient], output_gradients=upstream
            )
            return [*second[:-2], None, None, *second[-2:]]

        stopped = [tf.stop_gradient(tensor) for tensor in tensors]
        found = _backward(_replace(inputs, stopped[:-4]), *stopped[-4:], options)
        return found, gradient_of_gradient

    @tf.custom_gradient
    def compute(*sources):
        # Under an eager tape TensorFlow would differentiate the program itself as well, and keep every block.
        output, lse = _forward(_replace(inputs, [tf.stop_gradient(source) for source in sources]), options)
        return (output, lse), lambda *upstream: gradients(*sources, output, lse, *upstream)

    return compute(*sources)


def _replace(inputs: _Inputs, sources) -> _Inputs:
    """Returns `inputs` with its differentiable members taken from `sources`."""
    bias = sources[3] if len(sources) == 4 else None
    return inputs._replace(query=sources[0], key=sources[1], value=sources[2], bias=bias)


def _reference(inputs: _Inputs, options: _Options) -> tuple[tf.Tensor, tf.Tensor]:
    return reference.attention(
        inputs.query,
        inputs.key,
        inputs.value,
        padding_mask=inputs.padding_mask,
        bias=inputs.bias,
        seed=inputs.words,
        return_lse=True,
        **options._asdict(),
    )


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    padding_mask: tf.Tensor | None = None,
    causal: bool = False,
    bias: tf.Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int | tf.Tensor | None = None,
    return_lse: bool = False,
    implementation: Implementation = "auto",
) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Scaled dot-product attention, softmax(scale * query key^T + bias) value.

    Scores and softmax are float32; a query with nothing to attend to gives zeros. In float32 on a GPU the
    products use TensorFloat-32 unless `tf.config.experimental.enable_tensor_float_32_execution(False)`.

    Args:
        query: <float>[batch, heads, query, dim].
        key: <float>[batch, heads, key, dim].
        value: <float>[batch, heads, key, value_dim], of the type of query and key.
        padding_mask: <bool>[batch, key], True = may attend.
        causal: query i sees the keys 0 to i only, also where there are more keys than queries.
        bias: <float> of rank 4 with finite values, broadcasts to [batch, heads, query, key]; has a gradient.
        scale: factor of the products; None for 1 / sqrt(dim).
        dropout: share of the weights to drop, in [0, 1).
        seed: integer, <int>[] or <int>[2], needed if `dropout` is above 0; it decides what is dropped.
        return_lse: also return the log of the sum of the exponentials of each row.
        implementation: "xla" the compiled kernel, "reference" plain TensorFlow with every score in memory,
            "auto" what is known to be faster: at present the kernel.

    Returns:
        <float>[batch, heads, query, value_dim]; with `return_lse` also <float32>[batch, heads, query],
        -inf where there is nothing to attend to.

    Raises:
        ValueError: shapes that do not belong together, `dropout` outside [0, 1) or without a seed, or an
            unknown `implementation`.
    """
    reference.check_arguments(query, key, value, padding_mask, bias, dropout, seed)
    if implementation not in ("auto", "xla", "reference"):
        raise ValueError(
            '`implementation` must be "auto", "xla" or "reference". '
            f"Received: implementation={implementation!r}"
        )
    options = _Options(causal, reference.default_scale(query) if scale is None else scale, dropout)
    words = None if seed is None or dropout == 0 else seed_words(seed)
    mask = None if padding_mask is None else tf.cast(padding_mask, tf.bool)
    inputs = _Inputs(query, key, value, mask, bias, words)
    output, lse = (_reference if implementation == "reference" else _compiled)(inputs, options)
    return (output, lse) if return_lse else output
