"""The device that operations are placed on, which decides what is traced for it.

It is read when a function is traced. TensorFlow does not trace a function again for the scope of another
device, and functions of `tf.data`, which run on the CPU, do not say so: put `tf.device("CPU")` into them.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.eager import context

ComputeCapability = tuple[int, int]

_ASSUMED: contextvars.ContextVar[ComputeCapability | None] = contextvars.ContextVar("assumed", default=None)


@contextlib.contextmanager
def assumed_gpu(compute_capability: ComputeCapability = (9, 0)) -> Iterator[None]:
    """Within this context, functions are traced as on a machine with an NVIDIA GPU.

    For programs that are lowered on a machine without a GPU, and compiled or run elsewhere. Where `tf.device`
    asks for the CPU, they are still for the CPU.

    Args:
        compute_capability: that of the GPU, (9, 0) for an H100.

    Examples:
        >>> with assumed_gpu():
        ...     device_type()
        'GPU'
    """
    token = _ASSUMED.set(compute_capability)
    try:
        yield
    finally:
        _ASSUMED.reset(token)


def device_type() -> str:
    """Returns the type of the device that an operation is placed on here: "CPU", "GPU" or another.

    It is the one that `tf.device` or a distribution strategy asks for; without one, the GPU if there is any.
    """
    if _ASSUMED.get() is None and not tf.config.get_visible_devices("GPU"):
        return "CPU"
    return _requested_type() or "GPU"


def compute_capability() -> ComputeCapability | None:
    """Returns the lowest compute capability of the GPUs; None without any, or if NVIDIA did not make one."""
    assumed = _ASSUMED.get()
    if assumed is not None:
        return assumed
    gpus = tf.config.get_visible_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    capabilities = [one.get("compute_capability") for one in details]
    return None if None in capabilities or not capabilities else min(capabilities)


def _requested_type() -> str | None:
    """Returns the type of the device in whose scope this code is, innermost first; None without one."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        # A function does not know the scope in which it is called, so that the graphs around it are asked.
        for scope in graph._device_function_stack.peek_objs():
            name = scope._device_name_or_function
            if name is None:  # `tf.device(None)` hides the scopes around it
                return None
            if not callable(name):
                requested = _type_of(str(name))
                if requested is not None:
                    return requested
        graph = graph.outer_graph if isinstance(graph, tf.__internal__.FuncGraph) else None
    return _type_of(context.context().device_name or "")


def _type_of(name: str) -> str | None:
    return tf.DeviceSpec.from_string(name).device_type if name else None
