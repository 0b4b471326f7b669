"""How the compiled kernel cuts its work into blocks of scores."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import tensorflow as tf

Size: TypeAlias = int | tf.Tensor
"""An integer, or <int32>[] where a shape is not known when the program is traced."""


class Targets(NamedTuple):
    """How large blocks are made.

    Attributes:
        query: queries of a block.
        key: keys of a block.
        scores: scores held at once, over all examples and heads that are worked on together.
        half_products: whether matrices in half precision are multiplied as such; else in float32, which is
            what XLA does with them on a CPU anyway.
    """

    query: int
    key: int
    scores: int
    half_products: bool


# A block's few arrays of scores stay in the last level cache of a CPU, and its matrix products are large
# enough to run at full speed. A GPU wants few, large steps.
CPU = Targets(query=256, key=512, scores=2**20, half_products=False)
GPU = Targets(query=1024, key=1024, scores=2**26, half_products=True)


def targets() -> Targets:
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


def cut(length: Size, target: int) -> Axis:
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
