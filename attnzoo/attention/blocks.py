"""How the compiled kernel cuts tensors into blocks, and puts blocks back."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import keras
import tensorflow as tf

from attnzoo.attention import shapes

Size: TypeAlias = int | tf.Tensor
"""An integer, or <int32>[] where a shape is not known when the program is traced."""
Range: TypeAlias = tuple[Size, Size]
"""Start and size."""


class BlockSizes(NamedTuple):
    """How large blocks are made.

    Attributes:
        query: queries of a block.
        key: keys of a block.
        logits: logits held at once, over all examples and heads that are worked on together.
        half_products: whether matrices in half precision are multiplied as such; else in float32, which is
            what XLA does with them on a CPU anyway.
    """

    query: int
    key: int
    logits: int
    half_products: bool


# A block's few arrays of logits stay in the last level cache of a CPU, and its matrix products are large
# enough to run at full speed. A GPU wants few, large steps.
CPU = BlockSizes(query=256, key=512, logits=2**20, half_products=False)
GPU = BlockSizes(query=1024, key=1024, logits=2**26, half_products=True)


def block_sizes() -> BlockSizes:
    """Returns the sizes for the devices that this process sees."""
    return GPU if tf.config.list_physical_devices("GPU") else CPU


class Axis(NamedTuple):
    """An axis cut into `num` blocks of `size`; the last one reaches back to be as long as the others."""

    length: Size
    size: Size
    num: Size

    @property
    def even(self) -> bool:
        """Whether the blocks are known not to overlap."""
        return isinstance(self.length, int) and self.length == self.size * self.num

    def start(self, block: tf.Tensor) -> tf.Tensor:
        """Returns where a block starts, <int32>[]."""
        return block * self.size if self.even else tf.minimum(block * self.size, self.length - self.size)

    def blocks(self, first: tf.Tensor | None, last: tf.Tensor | None) -> tuple[Size, Size]:
        """Returns the range of blocks, end excluded, that holds the positions `first` to `last`.

        Positions may lie outside of the axis; None stands for its end.
        """
        low = 0 if first is None else tf.clip_by_value(first // self.size, 0, self.num)
        high = self.num if last is None else tf.clip_by_value(last // self.size + 1, 0, self.num)
        return low, high


def split_axis(length: Size, target: int) -> Axis:
    """Cuts an axis into the least number of blocks of at most `target`, about equal in size."""
    num = _at_least_one(-(-length // target))
    size = _at_least_one(-(-length // num))
    return Axis(length, size, num)


def divide(length: Size, target: Size) -> Axis:
    """Cuts an axis into blocks of the greatest size up to `target` that divides it."""
    if isinstance(length, int) and isinstance(target, int):
        size = next(size for size in range(max(1, min(target, length)), 0, -1) if length % size == 0)
        return Axis(length, size, length // size)
    sizes = tf.range(1, tf.maximum(1, tf.minimum(target, length)) + 1)
    size = tf.reduce_max(tf.where(length % sizes == 0, sizes, 1))
    return Axis(length, size, length // size)


def _at_least_one(size: Size) -> Size:
    return max(size, 1) if isinstance(size, int) else tf.maximum(size, 1)


def slice_block(tensor: tf.Tensor, *ranges: Range | None) -> tf.Tensor:
    """Slices the leading axes; None, and an axis of size 1 that is broadcast, stay whole."""
    begin, size = [], []
    for axis in range(tensor.shape.rank):
        chosen = ranges[axis] if axis < len(ranges) and tensor.shape[axis] != 1 else None
        begin.append(0 if chosen is None else chosen[0])
        size.append(shapes.length(tensor, axis) if chosen is None else chosen[1])
    return tf.slice(tensor, begin, size)


def write(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Puts a block at `starts` of the leading axes."""
    rest = [0] * (whole.shape.rank - len(starts))
    return keras.ops.slice_update(whole, [*starts, *rest], tf.cast(update, whole.dtype))


def add(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Adds a block at `starts` of the leading axes; an axis of size 1 starts at 0."""
    begin = [0 if whole.shape[axis] == 1 else start for axis, start in enumerate(starts)]
    old = slice_block(whole, *((start, shapes.length(update, axis)) for axis, start in enumerate(begin)))
    return write(whole, old + tf.cast(update, whole.dtype), *begin)


def join_rows(tensor: tf.Tensor) -> tf.Tensor:
    """Makes one axis of the last two, the heads that share a key and their queries."""
    shape = [shapes.length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [*shape[:-2], shape[-2] * shape[-1]])


def join_first(tensor: tf.Tensor) -> tf.Tensor:
    """Makes one axis of the first two, the examples and key heads that are worked on together."""
    shape = [shapes.length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [shape[0] * shape[1], *shape[2:]])
