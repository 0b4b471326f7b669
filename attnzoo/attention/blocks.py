"""Splitting tensors into blocks for the compiled kernel, and writing blocks back."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import keras
import tensorflow as tf

from attnzoo.attention import shapes
from attnzoo.attention.devices import device_type

Size: TypeAlias = int | tf.Tensor
"""An integer, or <int32>[] if the size is not known when the function is traced."""
Range: TypeAlias = tuple[Size, Size]
"""Start and size."""


class BlockSizes(NamedTuple):
    """Target sizes of the blocks.

    Attributes:
        query: maximum number of queries in a block.
        key: maximum number of keys in a block.
        logits: maximum number of logits in memory, over all examples and heads that are processed together.
        half_products: whether half-precision matrices are multiplied in half precision; otherwise in float32,
            which is what XLA does on a CPU anyway.
    """

    query: int
    key: int
    logits: int
    half_products: bool


# On a CPU the few arrays of logits of a block stay in the last-level cache, and its matrix products are large
# enough to run at full speed. A GPU needs few, large steps.
CPU = BlockSizes(query=256, key=512, logits=2**20, half_products=False)
GPU = BlockSizes(query=1024, key=1024, logits=2**26, half_products=True)


def block_sizes() -> BlockSizes:
    """Returns the sizes for the device that the operations of a call are placed on."""
    return GPU if device_type() == "GPU" else CPU


class Axis(NamedTuple):
    """An axis split into `num` blocks of `size`; the last block may overlap the one before it."""

    length: Size
    size: Size
    num: Size

    @property
    def even(self) -> bool:
        """Whether the blocks are known not to overlap."""
        return isinstance(self.length, int) and self.length == self.size * self.num

    def start(self, block: tf.Tensor) -> tf.Tensor:
        """Returns the first position of a block, <int32>[]."""
        return block * self.size if self.even else tf.minimum(block * self.size, self.length - self.size)

    def blocks(self, first: tf.Tensor | None, last: tf.Tensor | None) -> tuple[Size, Size]:
        """Returns the range of blocks, end excluded, that contains the positions `first` to `last`.

        Positions may lie outside the axis; None means its first or last position.
        """
        low = 0 if first is None else tf.clip_by_value(first // self.size, 0, self.num)
        high = self.num if last is None else tf.clip_by_value(last // self.size + 1, 0, self.num)
        return low, high


def split_axis(length: Size, target: int) -> Axis:
    """Splits an axis into as few blocks of at most `target` as possible, nearly equal in size."""
    num = _at_least_one(-(-length // target))
    size = _at_least_one(-(-length // num))
    return Axis(length, size, num)


def split_evenly(length: Size, target: Size) -> Axis:
    """Splits an axis into blocks of equal size: the largest divisor that is at most `target`."""
    if isinstance(length, int) and length == 1:
        return Axis(1, 1, 1)  # static also where `target` is not: axes of size 1 are not sliced
    if isinstance(length, int) and isinstance(target, int):
        size = next(size for size in range(max(1, min(target, length)), 0, -1) if length % size == 0)
        return Axis(length, size, length // size)
    sizes = tf.range(1, tf.maximum(1, tf.minimum(target, length)) + 1)
    size = tf.reduce_max(tf.where(length % sizes == 0, sizes, 1))
    return Axis(length, size, length // size)


def _at_least_one(size: Size) -> Size:
    return max(size, 1) if isinstance(size, int) else tf.maximum(size, 1)


def slice_block(tensor: tf.Tensor, *ranges: Range | None) -> tf.Tensor:
    """Slices the leading axes. Axes with a range of None or of size 1 (broadcast) are not sliced."""
    begin, size = [], []
    for axis in range(tensor.shape.rank):
        chosen = ranges[axis] if axis < len(ranges) and tensor.shape[axis] != 1 else None
        begin.append(0 if chosen is None else chosen[0])
        size.append(shapes.length(tensor, axis) if chosen is None else chosen[1])
    return tf.slice(tensor, begin, size)


def write_block(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Writes a block at `starts` of the leading axes."""
    rest = [0] * (whole.shape.rank - len(starts))
    return keras.ops.slice_update(whole, [*starts, *rest], tf.cast(update, whole.dtype))


def add_block(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Adds a block at `starts` of the leading axes; an axis of size 1 starts at 0."""
    begin = [0 if whole.shape[axis] == 1 else start for axis, start in enumerate(starts)]
    old = slice_block(whole, *((start, shapes.length(update, axis)) for axis, start in enumerate(begin)))
    return write_block(whole, old + tf.cast(update, whole.dtype), *begin)


def merge_last_axes(tensor: tf.Tensor) -> tf.Tensor:
    """Merges the last two axes: the heads that share a key head, and their queries."""
    shape = [shapes.length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [*shape[:-2], shape[-2] * shape[-1]])


def merge_first_axes(tensor: tf.Tensor) -> tf.Tensor:
    """Merges the first two axes: the examples and key heads that are processed together."""
    shape = [shapes.length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [shape[0] * shape[1], *shape[2:]])
