"""Padding of examples, queries and keys, so that the kernel is compiled for few sizes."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.blocks import Size
from attnzoo.attention.compilation import in_compiled_function, round_up
from attnzoo.attention.shapes import length


def pad_sizes(inputs: AttentionInputs) -> AttentionInputs:
    """Pads a call to the next sizes that the kernel is compiled for, and masks the new keys.

    Inside a compiled function, which is compiled for every size anyway, nothing is padded.
    """
    more = [_missing(length(inputs.query, axis)) for axis in (0, 2)]
    more_examples, more_queries, more_keys = *more, _missing(length(inputs.key))
    if in_compiled_function() or all(map(_is_zero, (more_examples, more_queries, more_keys))):
        return inputs

    def pad(tensor: tf.Tensor | None, *axes: tuple[int, Size]) -> tf.Tensor | None:
        for axis, size in ((0, more_examples), *axes):
            tensor = pad_axis(tensor, axis, size)
        return tensor

    arguments, segments, mask = inputs.arguments, inputs.segments, inputs.arguments.padding_mask
    if mask is None and not _is_zero(more_keys):
        mask = tf.ones([length(inputs.key, 0), length(inputs.key)], tf.bool)
    if segments is not None:
        segments = pad(segments[0], (1, more_queries)), pad(segments[1], (1, more_keys))
    padded = arguments._replace(
        # Entry 0 is for the last query and the first key.
        distance_bias=pad_axis(arguments.distance_bias, 1, more_keys, before=more_queries),
        bias=pad(arguments.bias, (2, more_queries), (3, more_keys)),
        attention_mask=pad(arguments.attention_mask, (2, more_queries), (3, more_keys)),
        padding_mask=pad(mask, (1, more_keys)),
        segment_ids=segments,
    )
    return AttentionInputs(
        pad(inputs.query, (2, more_queries)),
        pad(inputs.key, (2, more_keys)),
        pad(inputs.value, (2, more_keys)),
        padded,
    )


def pad_axis(
    tensor: tf.Tensor | None, axis: int, after: Size, value: float = 0, before: Size = 0
) -> tf.Tensor | None:
    """Pads an axis with `value` or False, unless its size is 1: one entry is for all, and is not padded."""
    if tensor is None or tensor.shape[axis] == 1 or (_is_zero(after) and _is_zero(before)):
        return tensor
    paddings = [[before, after] if number == axis else [0, 0] for number in range(tensor.shape.rank)]
    return tf.pad(tensor, paddings, constant_values=False if tensor.dtype == tf.bool else value)


def _missing(size: Size) -> Size:
    return round_up(size) - size


def _is_zero(size: Size) -> bool:
    return isinstance(size, int) and size == 0
