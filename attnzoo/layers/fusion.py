"""Pieces of a model between its matrix products, each compiled into one program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors with XLA, on its own where the program around it is not compiled.

    Without that each operation would take its own way through memory. Nothing but the arguments is kept for
    the gradient: it computes the function again. Inside a compiled program the function is a part of it.
    It is for training, which knows few shapes: a program is compiled for each.

    Args:
        function: returns one tensor or several. Its positional arguments are <float> tensors, or None; its
            keyword arguments have no gradient, and those that are no tensors are fixed in the program.

    Returns:
        The function with its gradient.
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
        others = {name: _stopped(value) for name, value in others.items()}

        @tf.custom_gradient
        def compute(*present):
            # Else TensorFlow would differentiate the program as well, and keep what it computes.
            rest = map(_stopped, present)
            stopped = [None if source is None else next(rest) for source in sources]
            return forward(stopped, others), lambda *upstream: backward(stopped, others, list(upstream))

        return compute(*(tf.convert_to_tensor(source) for source in sources if source is not None))

    return call


def _stopped(value: Any) -> Any:
    return tf.stop_gradient(value) if tf.is_tensor(value) else value
