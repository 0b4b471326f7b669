"""Padding of queries and keys, so that the kernel is compiled for few lengths."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.blocks import Size
from attnzoo.attention.compilation import in_compiled_function, round_up
from attnzoo.attention.shapes import length


def pad_lengths(inputs: AttentionInputs) -> AttentionInputs:
    """Pads queries and keys to the next lengths that the kernel is compiled for, and masks the new keys.

    Inside a compiled function, which is compiled for every length anyway, nothing is padded.
    """
    more_queries, more_keys = (_missing(length(tensor)) for tensor in (inputs.query, inputs.key))
    if in_compiled_function() or (_is_zero(more_queries) and _is_zero(more_keys)):
        return inputs
    arguments, segments, mask = inputs.arguments, inputs.segments, inputs.arguments.padding_mask
    if mask is None and not _is_zero(more_keys):
        mask = tf.ones([length(inputs.key, 0), length(inputs.key)], tf.bool)
    if segments is not None:
        segments = pad_axis(segments[0], 1, more_queries), pad_axis(segments[1], 1, more_keys)
    padded = arguments._replace(
        # Entry 0 is for the last query and the first key.
        distance_bias=pad_axis(arguments.distance_bias, 1, more_keys, before=more_queries),
        bias=pad_axis(pad_axis(arguments.bias, 2, more_queries), 3, more_keys),
        padding_mask=pad_axis(mask, 1, more_keys, False),
        segment_ids=segments,
    )
    return AttentionInputs(
        pad_axis(inputs.query, 2, more_queries),
        pad_axis(inputs.key, 2, more_keys),
        pad_axis(inputs.value, 2, more_keys),
        padded,
    )


def pad_axis(
    tensor: tf.Tensor | None, axis: int, after: Size, value: float | bool = 0, before: Size = 0
) -> tf.Tensor | None:
    """Pads an axis with `value`, unless its size is 1: one entry is for all positions, and is not padded."""
    if tensor is None or tensor.shape[axis] == 1 or (_is_zero(after) and _is_zero(before)):
        return tensor
    paddings = [[before, after] if number == axis else [0, 0] for number in range(tensor.shape.rank)]
    return tf.pad(tensor, paddings, constant_values=value)


def _missing(size: Size) -> Size:
    return round_up(size) - size


def _is_zero(size: Size) -> bool:
    return isinstance(size, int) and size == 0
