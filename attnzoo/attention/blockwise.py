"""The kernel as one differentiable function, which also takes sizes that are unknown when it is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

from attnzoo.attention import blocks, loops, reference
from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.compilation import MAX_PLAIN_LOGITS, computed_logits
from attnzoo.attention.differentiable import differentiable
from attnzoo.attention.padding import pad_axis, pad_sizes
from attnzoo.attention.shapes import length

Tensors: TypeAlias = list[tf.Tensor]


def attend(inputs: AttentionInputs, may_be_plain: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Combines `loops.forward` and `loops.backward` into one differentiable function.

    Args:
        inputs: the call.
        may_be_plain: whether a call of unknown size that turns out to have at most `MAX_PLAIN_LOGITS` logits
            is computed by plain TensorFlow operations.

    Returns:
        Output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query].
    """
    sizes = blocks.block_sizes()
    return differentiable(
        inputs,
        lambda inputs: _forward(inputs, sizes, may_be_plain),
        lambda inputs, results: _backward(inputs, results, sizes, may_be_plain),
    )


def _forward(inputs: AttentionInputs, sizes: blocks.BlockSizes, may_be_plain: bool) -> Tensors:
    """Returns output <float32>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""

    def kernel():
        output, lse = loops.forward(pad_sizes(inputs), sizes)
        batch, queries = length(inputs.query, 0), length(inputs.query)
        return [tensor[:batch, :, :queries] for tensor in (output, lse)]

    def plain():
        output, lse = reference.attend(inputs)
        return [tf.cast(output, lse.dtype), lse]

    output, lse = _choose(inputs, plain, kernel, may_be_plain)
    output.set_shape([*inputs.query.shape[:3], inputs.value.shape[3]])
    lse.set_shape(inputs.query.shape[:3])
    return [output, lse]


def _backward(
    inputs: AttentionInputs, results: Sequence[tf.Tensor], sizes: blocks.BlockSizes, may_be_plain: bool
) -> Tensors:
    """Returns the gradients of `inputs.sources`.

    Args:
        inputs: the call.
        results: output and lse of `_forward`, and their gradients.
        sizes: target sizes of the blocks.
        may_be_plain: see `attend`.
    """

    def kernel():
        with tf.GradientTape() as tape:
            tape.watch(inputs.sources)
            padded = pad_sizes(inputs)
        more = [length(padded.query, axis) - length(inputs.query, axis) for axis in (0, 2)]
        # The weights of a query that is padding are exp(logits - lse) = 0.
        padding = (0, float("inf"), 0, 0)
        rows = [
            pad_axis(pad_axis(tensor, 0, more[0], value), 2, more[1], value)
            for tensor, value in zip(results, padding, strict=True)
        ]
        gradients = loops.backward(padded, *rows, sizes)
        if padded is inputs:
            return gradients
        return tape.gradient(padded.sources, inputs.sources, output_gradients=gradients)

    def plain():
        with tf.GradientTape() as tape:
            tape.watch(inputs.sources)
            outputs = reference.attend(inputs)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(outputs, inputs.sources, results[2:], unconnected_gradients=zero)

    gradients = _choose(inputs, plain, kernel, may_be_plain)
    for gradient, source in zip(gradients, inputs.sources, strict=True):
        gradient.set_shape(source.shape)
    return gradients


def _choose(
    inputs: AttentionInputs, plain: Callable[[], Tensors], kernel: Callable[[], Tensors], may_be_plain: bool
) -> Tensors:
    """Returns the result of the kernel, or that of plain operations if it has no blocks or few logits."""
    sizes = [length(tensor, axis) for tensor, axis in _axes(inputs)]
    if all(isinstance(size, int) for size in sizes):
        return kernel()
    num_logits = computed_logits(tf.unstack(tf.cast(tf.stack(sizes), tf.int64)), inputs.window)
    max_plain = MAX_PLAIN_LOGITS if may_be_plain else 0
    # Not `tf.cond`: XLA, which knows the sizes, compiles only the branch of a `switch_case` that is taken.
    return tf.switch_case(tf.cast(num_logits > max_plain, tf.int32), [plain, kernel])


def _axes(inputs: AttentionInputs) -> list[tuple[tf.Tensor, int]]:
    """Returns tensor and axis of each size of the logits."""
    return [*((inputs.query, axis) for axis in range(3)), (inputs.key, 2)]
