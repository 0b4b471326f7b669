"""Fusing the operations between matrix products into one compiled function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from attnzoo.attention.compilation import may_compile


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors with XLA where it is traced for one shape, see below.

    This saves a pass over memory for each operation. Only the arguments are kept for the gradient, which
    recomputes the function. Inside compiled code, the function becomes part of it. In eager code and in a
    function that is traced for any length it stays plain: every new length would be compiled, see
    `may_compile`. Use it in training, where a traced function is called many times.

    Args:
        function: returns one or several tensors. Its positional arguments are <float> tensors or None. Its
            keyword arguments have no gradient; those that are not tensors are compile-time constants.

    Returns:
        The compiled function, with its gradient.

    Examples:
        >>> scaled_relu = fused(lambda inputs, *, scale: scale * tf.nn.relu(inputs))
        >>> scaled_relu(tf.constant([-1.0, 2.0]), scale=3.0).numpy().tolist()
        [0.0, 6.0]
    """

    @tf.function(jit_compile=True, autograph=False)
    def forward(sources, others):
        return function(*sources, **others)

    @tf.function(jit_compile=True, autograph=False)
    def backward(sources, others, upstream):
        present = [source for source in sources if source is not None]
        with tf.GradientTape() as tape:
            tape.watch(present)
            outputs = tf.nest.flatten(function(*sources, **others))
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(outputs, present, upstream, unconnected_gradients=zero)

    @functools.wraps(function)
    def call(*sources: tf.Tensor | None, **others: Any) -> Any:
        given = [tf.convert_to_tensor(source) for source in sources if source is not None]
        others = {name: _stopped(value) for name, value in others.items()}

        def with_none(present):
            remaining = iter(present)
            return [None if source is None else next(remaining) for source in sources]

        if not may_compile(*given):
            return function(*with_none(given), **others)

        @tf.custom_gradient
        def compute(*present):
            # TensorFlow would otherwise differentiate the compiled function too, and keep its intermediates.
            stopped = with_none(map(_stopped, present))
            return forward(stopped, others), lambda *upstream: backward(stopped, others, list(upstream))

        return compute(*given)

    return call


def _stopped(value: Any) -> Any:
    return tf.stop_gradient(value) if tf.is_tensor(value) else value
