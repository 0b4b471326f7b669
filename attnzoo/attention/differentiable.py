"""A forward and a backward pass as one differentiable function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

from attnzoo.attention import reference
from attnzoo.attention.arguments import AttentionInputs

Forward: TypeAlias = Callable[[AttentionInputs], Sequence[tf.Tensor]]
"""Returns output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
Backward: TypeAlias = Callable[[AttentionInputs, Sequence[tf.Tensor]], Sequence[tf.Tensor]]
"""Returns the gradients of `inputs.sources`, given output and lse of the forward pass and their gradients."""


def differentiable(
    inputs: AttentionInputs, forward: Forward, backward: Backward
) -> tuple[tf.Tensor, tf.Tensor]:
    """Combines both passes into one function of `inputs.sources`, and calls it.

    Second derivatives are those of the reference implementation, with all logits in memory.

    Returns:
        Output <float>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query].
    """

    @tf.custom_gradient
    def gradients(*tensors):
        *sources, _, _, grad_output, grad_lse = tensors

        def gradient_of_gradient(*upstream):
            # Rare, so it uses the reference, with all logits in memory; it recomputes output and lse.
            with tf.GradientTape() as outer:
                outer.watch([*sources, grad_output, grad_lse])
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    results = reference.attend(inputs.with_sources(sources))
                first = inner.gradient(results, sources, output_gradients=[grad_output, grad_lse])
            second = outer.gradient(first, [*sources, grad_output, grad_lse], output_gradients=upstream)
            return [*second[:-2], None, None, *second[-2:]]

        stopped = [tf.stop_gradient(tensor) for tensor in tensors]
        replaced = inputs.with_sources(stopped[:-4])
        return backward(replaced, stopped[-4:]), gradient_of_gradient

    @tf.custom_gradient
    def compute(*sources):
        # An eager tape would otherwise also differentiate the compiled function, and keep every block.
        stopped = inputs.with_sources([tf.stop_gradient(source) for source in sources])
        output, lse = forward(stopped)
        # The backward pass subtracts nearly equal numbers, so it gets the output before rounding.
        rounded = tf.cast(output, inputs.value.dtype)
        return (rounded, lse), lambda *upstream: gradients(*sources, output, lse, *upstream)

    return compute(*inputs.sources)
