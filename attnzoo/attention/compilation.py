"""What XLA compiles, and what it does not: where every new length would be compiled, it would cost more."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

import tensorflow as tf

from attnzoo.attention.blocks import Size

MAX_PLAIN_LOGITS = 2**24
"""Maximum number of logits, over batch, heads, queries and keys, that code outside of a compiled function
holds in memory instead of compiling the kernel: 64 MiB in float32, about five times that with a gradient. On
two cores, attention with so many logits takes about 0.1 s either way, and compiling takes 1 to 3 s."""

LENGTHS_PER_OCTAVE = 8
"""The kernel outside of a compiled function is compiled for so many lengths, and numbers of examples, between
a power of two and the next; others are padded to the next of them, by at most an eighth."""

_ONLY_PLAIN = contextvars.ContextVar("only_plain", default=False)


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Within this context, attention is traced as plain TensorFlow operations, with all logits in memory.

    Converters such as LiteRT's do not support what the kernel consists of; see `attnzoo/attention/README.md`.

    Examples:
        >>> from attnzoo.attention import choose_implementation
        >>> query = tf.zeros([1, 8, 2048, 64])
        >>> with plain_operations():
        ...     choose_implementation(query, query)
        ('reference', 'within plain_operations()')
    """
    token = _ONLY_PLAIN.set(True)
    try:
        yield
    finally:
        _ONLY_PLAIN.reset(token)


def only_plain() -> bool:
    """Returns whether this code runs within `plain_operations`."""
    return _ONLY_PLAIN.get()


def in_compiled_function() -> bool:
    """Returns whether this code is traced as a part of a function that XLA compiles."""
    return not tf.executing_eagerly() and tf.__internal__.get_enclosing_xla_context() is not None


def may_compile(*tensors: tf.Tensor) -> bool:
    """Returns whether XLA may compile an operation on these tensors for their shapes.

    It may where a function is traced for these shapes alone. In eager code, and in a function for any length,
    every new length would be compiled.
    """
    if only_plain():
        return False
    if in_compiled_function():
        return True
    return not tf.executing_eagerly() and all(tensor.shape.is_fully_defined() for tensor in tensors)


def compiles_once(query: tf.Tensor, key: tf.Tensor) -> bool:
    """Returns whether XLA compiles the kernel of this call for its lengths alone.

    It does in a compiled function, and in one that is traced for these lengths, with any number of examples.
    """
    if in_compiled_function():
        return True
    return not tf.executing_eagerly() and None not in (query.shape[2], key.shape[2])


def computed_logits(sizes: Sequence[Size], window: tuple[int, int] | None) -> Size:
    """Returns what plain operations cost, to be compared with `MAX_PLAIN_LOGITS`.

    They compute the logits that a window hides too, which the kernel skips: logits * keys / window.

    Args:
        sizes: batch, heads, queries and keys; integers, or <int64>[].
        window: number of keys before and after its own position that a query attends to; None for no limit.

    Examples:
        >>> computed_logits([2, 4, 300, 300], None), computed_logits([2, 4, 300, 300], (29, 0))
        (720000, 7200000)
    """
    batch, heads, queries, keys = sizes
    logits = batch * heads * queries * keys
    if window is None:
        return logits
    width = sum(window) + 1
    wasted = -(-keys // width)
    return logits * (max(1, wasted) if isinstance(wasted, int) else tf.maximum(tf.cast(1, tf.int64), wasted))


def round_up(length: Size) -> Size:
    """Returns the smallest length for which the kernel is compiled that is not below `length`.

    Examples:
        >>> [round_up(length) for length in (1, 16, 17, 300, 1024, 1025)]
        [1, 16, 18, 320, 1024, 1152]
    """
    if isinstance(length, int):
        step = 2 ** max(0, (length - 1).bit_length() - LENGTHS_PER_OCTAVE.bit_length())
        return -(-length // step) * step
    bits = tf.reduce_sum(tf.cast(length > tf.constant([2**bit for bit in range(31)]), tf.int32))
    step = tf.bitwise.left_shift(1, tf.maximum(0, bits - LENGTHS_PER_OCTAVE.bit_length()))
    return -(-length // step) * step
