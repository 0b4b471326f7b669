"""One block of scores, as the kernel's forward and backward pass both need it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import keras
import tensorflow as tf

from attnzoo.attention import blocks, dropout, masks
from attnzoo.attention.blocks import Size
from attnzoo.attention.terms import Inputs, Options, length

Range: TypeAlias = tuple[Size, Size]
"""Start and size."""


def cut_out(tensor: tf.Tensor, *ranges: Range | None) -> tf.Tensor:
    """Slices the leading axes; None, and an axis of size 1 that is broadcast, stay whole."""
    begin, size = [], []
    for axis in range(tensor.shape.rank):
        chosen = ranges[axis] if axis < len(ranges) and tensor.shape[axis] != 1 else None
        begin.append(0 if chosen is None else chosen[0])
        size.append(length(tensor, axis) if chosen is None else chosen[1])
    return tf.slice(tensor, begin, size)


def write(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Puts a block at `starts` of the leading axes."""
    rest = [0] * (whole.shape.rank - len(starts))
    return keras.ops.slice_update(whole, [*starts, *rest], tf.cast(update, whole.dtype))


def add(whole: tf.Tensor, update: tf.Tensor, *starts: Size) -> tf.Tensor:
    """Adds a block at `starts` of the leading axes; an axis of size 1 starts at 0."""
    begin = [0 if whole.shape[axis] == 1 else start for axis, start in enumerate(starts)]
    old = cut_out(whole, *((start, length(update, axis)) for axis, start in enumerate(begin)))
    return write(whole, old + tf.cast(update, whole.dtype), *begin)


def product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiplies matrices of the last two axes, with sums in float32 at least."""
    return tf.matmul(left, right, output_type=tf.float64 if left.dtype == tf.float64 else tf.float32)


def join_rows(tensor: tf.Tensor) -> tf.Tensor:
    """Makes one axis of the last two, the heads that share a key and their queries."""
    shape = [length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [*shape[:-2], shape[-2] * shape[-1]])


def join_first(tensor: tf.Tensor) -> tf.Tensor:
    """Makes one axis of the first two, the examples and key heads that are worked on together."""
    shape = [length(tensor, axis) for axis in range(tensor.shape.rank)]
    return tf.reshape(tensor, [shape[0] * shape[1], *shape[2:]])


class Place(NamedTuple):
    """Where a block lies.

    Attributes:
        example: range of the batch.
        head: range of the key heads.
        row: range of the queries.
        column: range of the keys.
        first_row: queries before it belong to the block before.
        first_column: keys before it belong to the block before.
    """

    example: Range
    head: Range
    row: Range
    column: Range
    first_row: tf.Tensor | None
    first_column: tf.Tensor | None


class Block(NamedTuple):
    """Scores of a block, and what limits them.

    Attributes:
        scores: <float32>[batch, key_head, key, shared, query] of heads that share a key head.
        allowed: <bool> that broadcasts to it; None for all.
    """

    scores: tf.Tensor
    allowed: tf.Tensor | None

    def masked(self) -> tf.Tensor:
        """Returns the scores, -inf where a query may not attend."""
        if self.allowed is None:
            return self.scores
        return tf.where(self.allowed, self.scores, tf.constant(-float("inf"), self.scores.dtype))


class Work:
    """The inputs of a call with their heads split, and the blocks that they are cut into.

    Args:
        inputs: the tensors of the call.
        options: what is known when the program is traced.
        targets: how large blocks are made.
    """

    def __init__(self, inputs: Inputs, options: Options, targets: blocks.Targets) -> None:
        self.inputs, self.options = inputs, options
        self.key_heads = inputs.key.shape[1]
        self.shared = inputs.query.shape[1] // self.key_heads
        self.dtype = tf.float64 if inputs.query.dtype == tf.float64 else tf.float32
        self.product_dtype = inputs.query.dtype if targets.half_products else self.dtype
        self.query = blocks.cut(length(inputs.query), targets.query)
        # Of small blocks more lie wholly outside of a causal mask or a window.
        hidden = options.causal or options.window is not None
        keys = min(targets.key, targets.query) if hidden else targets.key
        self.key = blocks.cut(length(inputs.key), keys)
        together = targets.scores // (self.shared * self.query.size * self.key.size)
        self.head = blocks.divide(self.key_heads, together)
        self.batch = blocks.divide(length(inputs.query, 0), together // self.key_heads)
        self.groups = self.batch.num * self.head.num
        self.bias = None if inputs.bias is None else self.split(inputs.bias)
        self.distance_bias = None if inputs.distance_bias is None else self.split(inputs.distance_bias, 0)
        self.alibi_slopes = None if inputs.alibi_slopes is None else self.split(inputs.alibi_slopes, 0)

    def split(self, tensor: tf.Tensor, axis: int = 1) -> tf.Tensor:
        """Splits the axis of the heads into key heads and the heads that share one."""
        shape = [length(tensor, axis) for axis in range(tensor.shape.rank)]
        heads = [1, 1] if tensor.shape[axis] == 1 else [self.key_heads, self.shared]
        return tf.reshape(tensor, [*shape[:axis], *heads, *shape[axis + 1 :]])

    def group(self, number: tf.Tensor) -> tuple[Range, Range]:
        """Returns the examples and key heads of a group that is worked on together."""
        example = number // self.head.num * self.batch.size
        return (example, self.batch.size), (number % self.head.num * self.head.size, self.head.size)

    def place(self, group: tuple[Range, Range], query_block: tf.Tensor, key_block: tf.Tensor) -> Place:
        """Returns where a block lies."""
        return Place(
            *group,
            (self.query.start(query_block), self.query.size),
            (self.key.start(key_block), self.key.size),
            None if self.query.even else query_block * self.query.size,
            None if self.key.even else key_block * self.key.size,
        )

    def keys_of(self, query_block: tf.Tensor) -> tuple[Size, Size]:
        """Returns the key blocks, end excluded, that any query of a block may see."""
        first = self.query.start(query_block) + self.inputs.start
        left, right = self._reach()
        return self.key.blocks(
            None if left is None else first - left,
            None if right is None else first + self.query.size - 1 + right,
        )

    def queries_of(self, key_block: tf.Tensor) -> tuple[Size, Size]:
        """Returns the query blocks, end excluded, that may see any key of a block."""
        first = self.key.start(key_block) - self.inputs.start
        left, right = self._reach()
        return self.query.blocks(
            None if right is None else first - right,
            None if left is None else first + self.key.size - 1 + left,
        )

    def _reach(self) -> tuple[int | None, int | None]:
        """Returns how far before and after its own position a query may see; None for no end."""
        left, right = self.options.window or (None, None)
        return left, 0 if self.options.causal else right

    def scores(self, products: tf.Tensor, place: Place) -> Block:
        """Adds the biases to scaled products and says what is allowed.

        Args:
            products: <float32> of as many elements as [batch, key_head, key, shared, query], in that order.
            place: where the block lies.
        """
        sizes = (self.batch.size, self.head.size, self.key.size, self.shared, self.query.size)
        scores = tf.reshape(products, sizes)
        allowed = self._allowed(place)
        if self.bias is not None:
            bias = cut_out(self.bias, place.example, place.head, None, place.row, place.column)
            bias = tf.transpose(tf.cast(bias, self.dtype), [0, 1, 4, 2, 3])
            finite = bias > -float("inf")
            scores += tf.where(finite, bias, tf.zeros([], self.dtype))
            allowed = masks.combine(allowed, finite)
        if self.distance_bias is not None:
            scores += spread(self._distance_entries(place), place.column[1])
        if self.alibi_slopes is not None:
            slopes = tf.cast(cut_out(self.alibi_slopes, place.head), self.dtype)
            scores -= slopes[:, None, :, None] * tf.cast(tf.abs(self.distance(place)), self.dtype)
        if self.options.soft_cap is not None:
            scores = self.options.soft_cap * tf.tanh(scores / self.options.soft_cap)
        return Block(scores, allowed)

    def distance(self, place: Place) -> tf.Tensor:
        """Returns key position minus query position, <int32>[key, 1, query]."""
        row = tf.range(place.row[1]) + place.row[0] + self.inputs.start
        column = tf.range(place.column[1]) + place.column[0]
        return column[:, None, None] - row

    def first_distance(self, place: Place) -> tf.Tensor:
        """Returns the entry of `distance_bias` for the block's last query and first key, <int32>[]."""
        return place.column[0] - (place.row[0] + place.row[1] - 1) + self.query.length - 1

    def _distance_entries(self, place: Place) -> tf.Tensor:
        """Returns <float32>[key_head, shared, query + key - 1] of one block."""
        size = place.row[1] + place.column[1] - 1
        return tf.cast(
            cut_out(self.distance_bias, place.head, None, (self.first_distance(place), size)), self.dtype
        )

    def _allowed(self, place: Place) -> tf.Tensor | None:
        """Returns <bool> that broadcasts to [batch, key_head, key, shared, query]."""
        inputs, options = self.inputs, self.options
        conditions = []
        if inputs.padding_mask is not None:
            mask = cut_out(inputs.padding_mask, place.example, place.column)
            conditions.append(mask[:, None, :, None, None])
        if inputs.query_segments is not None:
            rows = cut_out(inputs.query_segments, place.example, place.row)
            columns = cut_out(inputs.key_segments, place.example, place.column)
            conditions.append(rows[:, None, None, None, :] == columns[:, None, :, None, None])
        if options.causal:
            conditions.append(self.distance(place) <= 0)
        if options.window is not None:
            distance = self.distance(place)
            conditions.append((distance >= -options.window[0]) & (distance <= options.window[1]))
        if place.first_column is not None:
            column = tf.range(place.column[1]) + place.column[0]
            conditions.append((column >= place.first_column)[:, None, None])
        if place.first_row is not None:
            conditions.append(tf.range(place.row[1]) + place.row[0] >= place.first_row)
        return masks.combine(*conditions)

    def no_bias_gradients(self) -> list[tf.Tensor]:
        """Returns zeros for the gradients of the biases that there are, with their heads split."""
        biases = (self.bias, self.distance_bias, self.alibi_slopes)
        return [tf.zeros_like(bias, self.dtype) for bias in biases if bias is not None]

    def add_bias_gradients(self, gradients, of_scores: tf.Tensor, place: Place) -> list[tf.Tensor]:
        """Adds what one block's scores, <float32>[batch, key_head, key, shared, query], give to each."""
        rest = iter(gradients)
        added = []
        if self.bias is not None:
            block = tf.transpose(of_scores, [0, 1, 3, 4, 2])  # [batch, key_head, shared, query, key]
            broadcast = [axis for axis in range(5) if self.bias.shape[axis] == 1]
            block = tf.reduce_sum(block, axis=broadcast, keepdims=True) if broadcast else block
            starts = (place.example[0], place.head[0], 0, place.row[0], place.column[0])
            added.append(add(next(rest), block, *starts))
        if self.distance_bias is not None:
            entries = gather_distances(tf.reduce_sum(of_scores, axis=0))
            added.append(add(next(rest), entries, place.head[0], 0, self.first_distance(place)))
        if self.alibi_slopes is not None:
            distance = tf.cast(tf.abs(self.distance(place)), self.dtype)
            slopes = -tf.reduce_sum(of_scores * distance, axis=[0, 2, 4])  # [key_head, shared]
            added.append(add(next(rest), slopes, place.head[0]))
        return added

    def row_bits(self, group: tuple[Range, Range]) -> tf.Tensor:
        """Returns the hash of each row of a group, <uint32>[batch, key_head, shared, query]."""
        (example, batch), (head, heads) = group
        examples = tf.range(batch) + example
        numbers = (tf.range(heads) + head)[:, None] * self.shared + tf.range(self.shared)
        bits = dropout.chain(dropout.first_bits(self.inputs.words), examples[:, None, None, None])
        bits = dropout.chain(bits, numbers[:, :, None])
        return dropout.chain(bits, tf.range(self.query.length))

    def dropout_factor(self, row_bits: tf.Tensor, place: Place) -> tf.Tensor:
        """Returns 0 or 1 / (1 - rate), <float32>[batch, key_head, key, shared, query]."""
        rows = cut_out(row_bits, None, None, None, place.row)[:, :, None]
        column = tf.range(place.column[1]) + place.column[0]
        kept = dropout.keep(dropout.chain(rows, column[:, None, None]), self.options.dropout)
        return tf.where(kept, tf.constant(1 / (1 - self.options.dropout), self.dtype), 0)


def spread(entries: tf.Tensor, keys: Size) -> tf.Tensor:
    """Gives each pair of a block the entry of its distance.

    Args:
        entries: <float>[key_head, shared, query + key - 1], the first for the last query and the first key.
        keys: number of keys.

    Returns:
        <float>[key_head, key, shared, query].
    """
    heads, shared, count = (length(entries, axis) for axis in range(3))
    # Rows of the same entries, read with one step more a row, are shifted by one entry a row.
    rows = tf.reshape(tf.repeat(entries[:, :, None], keys, axis=2), [heads, shared, keys * count])
    rows = tf.reshape(tf.pad(rows, [[0, 0], [0, 0], [0, keys]]), [heads, shared, keys, count + 1])
    rows = tf.reverse(rows[..., : count + 1 - keys], [3])  # [key_head, shared, key, query]
    return tf.transpose(rows, [0, 2, 1, 3])


def gather_distances(block: tf.Tensor) -> tf.Tensor:
    """Sums over the pairs of equal distance; the transpose of `spread`.

    Args:
        block: <float>[key_head, key, shared, query].

    Returns:
        <float>[key_head, shared, query + key - 1].
    """
    heads, keys, shared, queries = (length(block, axis) for axis in range(4))
    rows = tf.reverse(tf.transpose(block, [0, 2, 1, 3]), [3])  # [key_head, shared, key, query]
    rows = tf.pad(rows, [[0, 0], [0, 0], [0, 0], [0, keys]])
    rows = tf.reshape(rows, [heads, shared, keys * (queries + keys)])
    rows = rows[..., : keys * (queries + keys - 1)]
    return tf.reduce_sum(tf.reshape(rows, [heads, shared, keys, queries + keys - 1]), axis=2)
