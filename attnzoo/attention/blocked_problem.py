"""One block of logits, as used by both the forward and the backward pass of the kernel."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from attnzoo.attention import blocks, dropout, masks
from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.blocks import Range, Size, add_block, slice_block
from attnzoo.attention.shapes import length


class Tile(NamedTuple):
    """Location of a block.

    Attributes:
        example: range of the batch axis.
        head: range of the key heads.
        row: range of the queries.
        column: range of the keys.
        first_row: queries before it belong to the previous block.
        first_column: keys before it belong to the previous block.
    """

    example: Range
    head: Range
    row: Range
    column: Range
    first_row: tf.Tensor | None
    first_column: tf.Tensor | None


class TileLogits(NamedTuple):
    """Logits of a block and their mask.

    Attributes:
        logits: <float32>[batch, key_head, key, shared, query]; `shared` are the heads that share a key head.
        allowed: <bool> that broadcasts to `logits`; None if every pair is allowed.
    """

    logits: tf.Tensor
    allowed: tf.Tensor | None

    def masked(self) -> tf.Tensor:
        """Returns the logits, -inf where a query may not attend."""
        if self.allowed is None:
            return self.logits
        return tf.where(self.allowed, self.logits, tf.constant(-float("inf"), self.logits.dtype))


class BlockedProblem:
    """The inputs of a call with their heads split, and how they are split into blocks.

    Args:
        inputs: the call.
        sizes: target sizes of the blocks.
    """

    def __init__(self, inputs: AttentionInputs, sizes: blocks.BlockSizes) -> None:
        arguments = inputs.arguments
        self.inputs, self.arguments = inputs, arguments
        self.key_heads = inputs.key.shape[1]
        self.shared = inputs.query.shape[1] // self.key_heads
        self.dtype = tf.float64 if inputs.query.dtype == tf.float64 else tf.float32
        self.product_dtype = inputs.query.dtype if sizes.half_products else self.dtype
        self.query = blocks.split_axis(length(inputs.query), sizes.query)
        # With smaller blocks, more of them lie entirely outside a causal mask or a window and are skipped.
        can_skip = arguments.causal or inputs.window is not None
        keys = min(sizes.key, sizes.query) if can_skip else sizes.key
        self.key = blocks.split_axis(length(inputs.key), keys)
        group_size = sizes.logits // (self.shared * self.query.size * self.key.size)
        self.head = blocks.split_evenly(self.key_heads, group_size)
        self.batch = blocks.split_evenly(length(inputs.query, 0), group_size // self.key_heads)
        self.groups = self.batch.num * self.head.num
        self.bias = None if arguments.bias is None else self.split(arguments.bias)
        mask = arguments.attention_mask
        self.attention_mask = None if mask is None else self.split(mask)
        self.distance_bias = (
            None if arguments.distance_bias is None else self.split(arguments.distance_bias, 0)
        )
        self.alibi_slopes = None if arguments.alibi_slopes is None else self.split(arguments.alibi_slopes, 0)

    def split(self, tensor: tf.Tensor, axis: int = 1) -> tf.Tensor:
        """Splits the head axis into key heads and the heads that share each of them."""
        shape = [length(tensor, axis) for axis in range(tensor.shape.rank)]
        heads = [1, 1] if tensor.shape[axis] == 1 else [self.key_heads, self.shared]
        return tf.reshape(tensor, [*shape[:axis], *heads, *shape[axis + 1 :]])

    def group(self, number: tf.Tensor) -> tuple[Range, Range]:
        """Returns the examples and key heads of a group, which are processed together."""
        example = number // self.head.num * self.batch.size
        return (example, self.batch.size), (number % self.head.num * self.head.size, self.head.size)

    def tile(self, group: tuple[Range, Range], query_block: tf.Tensor, key_block: tf.Tensor) -> Tile:
        """Returns the location of a block."""
        return Tile(
            *group,
            (self.query.start(query_block), self.query.size),
            (self.key.start(key_block), self.key.size),
            None if self.query.even else query_block * self.query.size,
            None if self.key.even else key_block * self.key.size,
        )

    def key_blocks(self, query_block: tf.Tensor) -> tuple[Size, Size]:
        """Returns the range of key blocks, end excluded, that queries of a block may attend to."""
        first = self.query.start(query_block) + self.inputs.start
        left, right = self._reach()
        return self.key.blocks(
            None if left is None else first - left,
            None if right is None else first + self.query.size - 1 + right,
        )

    def query_blocks(self, key_block: tf.Tensor) -> tuple[Size, Size]:
        """Returns the range of query blocks, end excluded, that may attend to keys of a block."""
        first = self.key.start(key_block) - self.inputs.start
        left, right = self._reach()
        return self.query.blocks(
            None if right is None else first - right,
            None if left is None else first + self.key.size - 1 + left,
        )

    def _reach(self) -> tuple[int | None, int | None]:
        """Returns how far before and after its own position a query may attend; None for no limit."""
        left, right = self.inputs.window or (None, None)
        return left, 0 if self.arguments.causal else right

    def logits(self, products: tf.Tensor, tile: Tile) -> TileLogits:
        """Adds the biases to the scaled products and returns them with their mask.

        Args:
            products: <float32> with the elements of [batch, key_head, key, shared, query] in that order.
            tile: location of the block.
        """
        sizes = (self.batch.size, self.head.size, self.key.size, self.shared, self.query.size)
        logits = tf.reshape(products, sizes)
        allowed = self._allowed(tile)
        if self.bias is not None:
            bias = slice_block(self.bias, tile.example, tile.head, None, tile.row, tile.column)
            bias = tf.transpose(tf.cast(bias, self.dtype), [0, 1, 4, 2, 3])
            finite = bias > -float("inf")
            logits += tf.where(finite, bias, tf.zeros([], self.dtype))
            allowed = masks.combine(allowed, finite)
        if self.distance_bias is not None:
            logits += expand_by_distance(self._distance_entries(tile), tile.column[1])
        if self.alibi_slopes is not None:
            slopes = tf.cast(slice_block(self.alibi_slopes, tile.head), self.dtype)
            logits -= slopes[:, None, :, None] * tf.cast(tf.abs(self.distance(tile)), self.dtype)
        if self.arguments.soft_cap is not None:
            logits = self.arguments.soft_cap * tf.tanh(logits / self.arguments.soft_cap)
        return TileLogits(logits, allowed)

    def distance(self, tile: Tile) -> tf.Tensor:
        """Returns key position minus query position, <int32>[key, 1, query]."""
        row = tf.range(tile.row[1]) + tile.row[0] + self.inputs.start
        column = tf.range(tile.column[1]) + tile.column[0]
        return column[:, None, None] - row

    def first_distance(self, tile: Tile) -> tf.Tensor:
        """Returns the index into `distance_bias` for the block's last query and first key, <int32>[]."""
        return tile.column[0] - (tile.row[0] + tile.row[1] - 1) + self.query.length - 1

    def _distance_entries(self, tile: Tile) -> tf.Tensor:
        """Returns <float32>[key_head, shared, query + key - 1] of one block."""
        size = tile.row[1] + tile.column[1] - 1
        return tf.cast(
            slice_block(self.distance_bias, tile.head, None, (self.first_distance(tile), size)), self.dtype
        )

    def _allowed(self, tile: Tile) -> tf.Tensor | None:
        """Returns <bool> that broadcasts to [batch, key_head, key, shared, query]."""
        arguments, segments, window = self.arguments, self.inputs.segments, self.inputs.window
        conditions = []
        if arguments.padding_mask is not None:
            mask = slice_block(arguments.padding_mask, tile.example, tile.column)
            conditions.append(mask[:, None, :, None, None])
        if self.attention_mask is not None:
            mask = slice_block(self.attention_mask, tile.example, tile.head, None, tile.row, tile.column)
            conditions.append(tf.transpose(mask, [0, 1, 4, 2, 3]))
        if segments is not None:
            rows = slice_block(segments[0], tile.example, tile.row)
            columns = slice_block(segments[1], tile.example, tile.column)
            conditions.append(rows[:, None, None, None, :] == columns[:, None, :, None, None])
        if arguments.causal:
            conditions.append(self.distance(tile) <= 0)
        if window is not None:
            distance = self.distance(tile)
            conditions.append((distance >= -window[0]) & (distance <= window[1]))
        if tile.first_column is not None:
            column = tf.range(tile.column[1]) + tile.column[0]
            conditions.append((column >= tile.first_column)[:, None, None])
        if tile.first_row is not None:
            conditions.append(tf.range(tile.row[1]) + tile.row[0] >= tile.first_row)
        return masks.combine(*conditions)

    def zero_bias_gradients(self) -> list[tf.Tensor]:
        """Returns zero gradients of the biases that are given, with their heads split."""
        biases = (self.bias, self.distance_bias, self.alibi_slopes)
        return [tf.zeros_like(bias, self.dtype) for bias in biases if bias is not None]

    def add_bias_gradients(self, gradients, grad_logits: tf.Tensor, tile: Tile) -> list[tf.Tensor]:
        """Adds the contribution of one block to each gradient.

        Args:
            gradients: in the order of `zero_bias_gradients`.
            grad_logits: <float32>[batch, key_head, key, shared, query].
            tile: location of the block.
        """
        previous = iter(gradients)
        updated = []
        if self.bias is not None:
            block = tf.transpose(grad_logits, [0, 1, 3, 4, 2])  # [batch, key_head, shared, query, key]
            broadcast = [axis for axis in range(5) if self.bias.shape[axis] == 1]
            block = tf.reduce_sum(block, axis=broadcast, keepdims=True) if broadcast else block
            starts = (tile.example[0], tile.head[0], 0, tile.row[0], tile.column[0])
            updated.append(add_block(next(previous), block, *starts))
        if self.distance_bias is not None:
            entries = sum_by_distance(tf.reduce_sum(grad_logits, axis=0))
            updated.append(add_block(next(previous), entries, tile.head[0], 0, self.first_distance(tile)))
        if self.alibi_slopes is not None:
            distance = tf.cast(tf.abs(self.distance(tile)), self.dtype)
            grad_slopes = -tf.reduce_sum(grad_logits * distance, axis=[0, 2, 4])  # [key_head, shared]
            updated.append(add_block(next(previous), grad_slopes, tile.head[0]))
        return updated

    def random_bits(self, group: tuple[Range, Range]) -> tf.Tensor:
        """Returns the random bits of each row of a group, <uint32>[batch, key_head, shared, query]."""
        (example, batch), (head, heads) = group
        examples = tf.range(batch) + example
        numbers = (tf.range(heads) + head)[:, None] * self.shared + tf.range(self.shared)
        bits = dropout.fold_in(dropout.hash_key(self.inputs.rng_key), examples[:, None, None, None])
        bits = dropout.fold_in(bits, numbers[:, :, None])
        return dropout.fold_in(bits, tf.range(self.query.length))

    def dropout_factor(self, random_bits: tf.Tensor, tile: Tile) -> tf.Tensor:
        """Returns 0 or 1 / (1 - rate), <float32>[batch, key_head, key, shared, query]."""
        rows = slice_block(random_bits, None, None, None, tile.row)[:, :, None]
        column = tf.range(tile.column[1]) + tile.column[0]
        kept = dropout.is_kept(dropout.fold_in(rows, column[:, None, None]), self.arguments.dropout)
        return tf.where(kept, tf.constant(1 / (1 - self.arguments.dropout), self.dtype), 0)


def expand_by_distance(entries: tf.Tensor, keys: Size) -> tf.Tensor:
    """Looks up the entry of each query-key pair of a block by its distance.

    Args:
        entries: <float>[key_head, shared, query + key - 1]; entry 0 is for the last query and first key.
        keys: number of keys.

    Returns:
        <float>[key_head, key, shared, query].
    """
    heads, shared, count = (length(entries, axis) for axis in range(3))
    # Equal rows, read with a stride of one more element, are shifted by one entry per row.
    rows = tf.reshape(tf.repeat(entries[:, :, None], keys, axis=2), [heads, shared, keys * count])
    rows = tf.reshape(tf.pad(rows, [[0, 0], [0, 0], [0, keys]]), [heads, shared, keys, count + 1])
    rows = tf.reverse(rows[..., : count + 1 - keys], [3])  # [key_head, shared, key, query]
    return tf.transpose(rows, [0, 2, 1, 3])


def sum_by_distance(block: tf.Tensor) -> tf.Tensor:
    """Sums over the query-key pairs of equal distance; the transpose of `expand_by_distance`.

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
