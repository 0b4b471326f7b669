"""The forward and backward passes of the kernel, each compiled into one XLA program.

The logits are never all in memory: both passes loop over blocks of queries and keys. The forward pass uses an
online softmax; the backward pass recomputes the weights from the log-sum-exp (lse) of each row.

    S  = cap(scale Q K^T + bias)    P  = exp(S - lse)     O  = (P * M) V      M: dropout, 0 or 1 / (1 - rate)
    D  = rowsum(dO * O) - dlse      dP = (dO V^T) * M     dS = P * (dP - D) * cap'
    dQ = scale dS K                 dK = scale dS^T Q     dV = (P * M)^T dO   dbias = dS

A block is stored as S^T, [key, query], so that the softmax reduces over the major axis and every product
multiplies two matrices in their memory layout: XLA is fast at both on a CPU.

Reference: Rabe and Staats 2021, https://arxiv.org/abs/2112.05682; Dao 2023, https://arxiv.org/abs/2307.08691
"""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.blocked_problem import BlockedProblem, Tile
from attnzoo.attention.blocks import (
    BlockSizes,
    Range,
    add_block,
    merge_first_axes,
    merge_last_axes,
    slice_block,
    write_block,
)
from attnzoo.attention.shapes import length


def _matmul(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiplies matrices, accumulating in at least float32."""
    return tf.matmul(left, right, output_type=tf.float64 if left.dtype == tf.float64 else tf.float32)


def _for_loop(body, first, last, state):
    """Runs `state = body(index, *state)` for each index from `first` to `last`, end excluded."""
    results = tf.while_loop(
        lambda number, *_: number < last,
        lambda number, *state: (number + 1, *body(number, *state)),
        [tf.convert_to_tensor(first), *state],
    )
    return results[1:]


@tf.function(jit_compile=True, autograph=False)
def forward(inputs: AttentionInputs, sizes: BlockSizes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float32>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
    problem, arguments = BlockedProblem(inputs, sizes), inputs.arguments
    all_queries = problem.split(inputs.query)  # [batch, key_head, shared, query, dim]

    def group_step(number, output, lse):
        group = problem.group(number)
        query = tf.cast(slice_block(all_queries, *group), problem.dtype) * inputs.scale
        query = tf.cast(tf.transpose(query, [0, 1, 4, 2, 3]), problem.product_dtype)
        value = tf.linalg.matrix_transpose(slice_block(inputs.value, *group))
        query = merge_first_axes(query)  # [batch * key_head, dim, shared, query]
        key = merge_first_axes(tf.cast(slice_block(inputs.key, *group), problem.product_dtype))
        value = merge_first_axes(tf.cast(value, problem.product_dtype))  # [batch * key_head, value_dim, key]
        random_bits = problem.random_bits(group) if arguments.dropout else None

        def query_step(query_block, output, lse):
            rows = problem.tile(group, query_block, 0).row
            block_query = merge_last_axes(slice_block(query, None, None, None, rows))

            def key_step(key_block, row_max, row_sum, context):
                tile = problem.tile(group, query_block, key_block)._replace(first_row=None)
                products = _matmul(slice_block(key, None, tile.column), block_query)
                logits = problem.logits(products, tile).masked()
                # One axis for all rows: XLA's reductions are fast on the plain output of a matrix product.
                logits = tf.reshape(logits, tf.shape(products))  # [batch * key_head, key, shared * query]
                new_row_max = tf.maximum(row_max, tf.reduce_max(logits, axis=1))
                weights = tf.exp(logits - new_row_max[:, None])
                decay = tf.exp(row_max - new_row_max)  # [batch * key_head, shared * query]
                row_sum = row_sum * decay + tf.reduce_sum(weights, axis=1)
                if arguments.dropout:
                    weights *= tf.reshape(problem.dropout_factor(random_bits, tile), tf.shape(weights))
                update = _matmul(slice_block(value, None, None, tile.column), tf.cast(weights, value.dtype))
                return new_row_max, row_sum, context * decay[:, None] + update

            state = _initial_state(problem, group, value)
            row_max, row_sum, context = _for_loop(key_step, *problem.key_blocks(query_block), state)
            # The lse of a row without any key is log(0) = -inf.
            block_lse = tf.where(row_sum > 0, row_max, 0) + tf.math.log(row_sum)
            context = tf.math.divide_no_nan(context, row_sum[:, None])
            axes = (problem.batch.size, problem.head.size)
            context = tf.reshape(context, [*axes, length(value, 1), problem.shared, problem.query.size])
            block_lse = tf.reshape(block_lse, [*axes, problem.shared, problem.query.size])
            starts = (group[0][0], group[1][0], 0, rows[0])
            output = write_block(output, tf.transpose(context, [0, 1, 3, 4, 2]), *starts)
            return output, write_block(lse, block_lse, *starts)

        return _for_loop(query_step, 0, problem.query.num, (output, lse))

    axes = _sizes(all_queries, 4)
    output = tf.zeros([*axes, length(inputs.value, 3)], problem.dtype)
    output, lse = _for_loop(group_step, 0, problem.groups, (output, tf.zeros(axes, problem.dtype)))
    return _join_heads(output), _join_heads(lse)


def _sizes(tensor: tf.Tensor, count: int) -> list:
    return [length(tensor, axis) for axis in range(count)]


def _join_heads(tensor: tf.Tensor) -> tf.Tensor:
    """Reshapes [batch, key_head, shared, ...] to [batch, heads, ...]."""
    sizes = _sizes(tensor, tensor.shape.rank)
    return tf.reshape(tensor, [sizes[0], sizes[1] * sizes[2], *sizes[3:]])


def _initial_state(
    problem: BlockedProblem, group, value: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns maximum logit, sum of exponentials and weighted sum of values before the first key."""
    sizes = [problem.batch.size, problem.head.size, problem.shared, problem.query.size]
    rows = [sizes[0] * sizes[1], sizes[2] * sizes[3]]
    context = tf.zeros([rows[0], length(value, 1), rows[1]], problem.dtype)
    if problem.arguments.sink is None:
        return tf.fill(rows, problem.dtype.min), tf.zeros(rows, problem.dtype), context
    sink = tf.cast(slice_block(problem.split(problem.arguments.sink, 0), group[1]), problem.dtype)[:, :, None]
    return tf.reshape(tf.broadcast_to(sink, sizes), rows), tf.ones(rows, problem.dtype), context


@tf.function(jit_compile=True, autograph=False)
def backward(
    inputs: AttentionInputs,
    output: tf.Tensor,
    lse: tf.Tensor,
    grad_output: tf.Tensor,
    grad_lse: tf.Tensor,
    sizes: BlockSizes,
) -> list[tf.Tensor]:
    """Returns the gradients of `inputs.sources`."""
    problem, arguments = BlockedProblem(inputs, sizes), inputs.arguments
    upstream = tf.cast(grad_output, problem.dtype)
    correction = tf.reduce_sum(upstream * tf.cast(output, problem.dtype), axis=-1) - grad_lse
    # Rows without any key have S = -inf everywhere; with lse = inf, exp(S - lse) is 0.
    lse = tf.where(tf.math.is_inf(lse), tf.constant(float("inf"), lse.dtype), lse)
    row_tensors = [problem.split(tensor) for tensor in (inputs.query, grad_output, lse, correction)]

    def group_step(number, grad_queries, grad_keys, grad_values, *grad_biases):
        group = problem.group(number)
        sliced = (slice_block(tensor, *group) for tensor in (*row_tensors, inputs.key, inputs.value))
        backward_group = BackwardGroup(problem, group, *sliced)

        def key_step(key_block, grad_query, grad_key, grad_value, *grad_biases):
            keys = problem.tile(group, 0, key_block).column

            def query_step(query_block, *state):
                return backward_group.step(problem.tile(group, query_block, key_block), *state)

            state = (grad_query, *backward_group.zero_block_gradients(keys), *grad_biases)
            state = _for_loop(query_step, *problem.query_blocks(key_block), state)
            grad_query, block_grad_key, block_grad_value, *grad_biases = state
            grad_key = add_block(grad_key, block_grad_key * inputs.scale, 0, 0, keys[0])
            grad_value = add_block(grad_value, block_grad_value, 0, 0, keys[0])
            return grad_query, grad_key, grad_value, *grad_biases

        state = (*backward_group.zero_gradients(), *grad_biases)
        grad_query, grad_key, grad_value, *grad_biases = _for_loop(key_step, 0, problem.key.num, state)
        grad_query = tf.transpose(grad_query, [0, 1, 3, 4, 2])  # [batch, key_head, shared, query, dim]
        starts = (group[0][0], group[1][0])
        return (
            write_block(grad_queries, grad_query * inputs.scale, *starts),
            write_block(grad_keys, grad_key, *starts),
            write_block(grad_values, grad_value, *starts),
            *grad_biases,
        )

    state = [tf.zeros_like(tensor) for tensor in (row_tensors[0], inputs.key, inputs.value)]
    grad_queries, *gradients = _for_loop(
        group_step, 0, problem.groups, (*state, *problem.zero_bias_gradients())
    )
    gradients = [_join_heads(grad_queries), *gradients]
    if arguments.sink is not None:
        weights = tf.exp(tf.cast(arguments.sink, problem.dtype)[:, None] - lse)  # [batch, heads, query]
        gradients.append(-tf.reduce_sum(weights * correction, axis=[0, 2]))
    return [
        tf.cast(tf.reshape(gradient, tf.shape(source)), source.dtype)
        for gradient, source in zip(gradients, inputs.sources, strict=True)
    ]


class BackwardGroup:
    """The backward pass of one group: its tensors in the layouts that the products need."""

    def __init__(self, problem: BlockedProblem, group, query, upstream, lse, correction, key, value) -> None:
        half = problem.product_dtype
        self.problem, self.lse, self.correction = problem, lse, correction  # [batch, key_head, shared, query]
        self.query, self.upstream = tf.cast(query, half), tf.cast(upstream, half)  # [..., shared, query, dim]
        self.key, self.value = tf.cast(key, half), tf.cast(value, half)  # [batch, key_head, key, dim]
        scaled = tf.cast(query, problem.dtype) * problem.inputs.scale
        self.query_columns = tf.cast(tf.transpose(scaled, [0, 1, 4, 2, 3]), half)  # [..., dim, shared, query]
        self.upstream_columns = tf.transpose(self.upstream, [0, 1, 4, 2, 3])
        self.key_columns = tf.linalg.matrix_transpose(self.key)  # [batch, key_head, dim, key]
        self.random_bits = problem.random_bits(group) if problem.arguments.dropout else None

    def zero_gradients(self) -> list[tf.Tensor]:
        """Returns zero gradients of query (dim first), key and value."""
        return [
            tf.zeros_like(tensor, self.problem.dtype) for tensor in (self.query_columns, self.key, self.value)
        ]

    def zero_block_gradients(self, keys: Range) -> list[tf.Tensor]:
        """Returns zero gradients of a block of keys and values."""
        blocks = (slice_block(tensor, None, None, keys) for tensor in (self.key, self.value))
        return [tf.zeros_like(block, self.problem.dtype) for block in blocks]

    def _columns(self, tensor: tf.Tensor, tile: Tile) -> tf.Tensor:
        """Returns [batch, key_head, dim, shared * query] of a block."""
        return merge_last_axes(slice_block(tensor, None, None, None, None, tile.row))

    def _rows(self, tensor: tf.Tensor, tile: Tile) -> tf.Tensor:
        """Returns [batch, key_head, shared * query, dim] of a block."""
        rows = slice_block(tensor, None, None, None, tile.row)
        return tf.reshape(
            rows, [*_sizes(rows, 2), self.problem.shared * self.problem.query.size, length(rows, 4)]
        )

    def step(self, tile: Tile, grad_query, grad_key, grad_value, *grad_biases):
        """Adds the contribution of one block to each gradient."""
        problem, arguments = self.problem, self.problem.arguments
        keys = (None, None, tile.column)
        products = _matmul(slice_block(self.key, *keys), self._columns(self.query_columns, tile))
        block = problem.logits(products, tile)
        lse, correction = (
            slice_block(tensor, None, None, None, tile.row)[:, :, None]
            for tensor in (self.lse, self.correction)
        )
        weights = dropped = tf.exp(block.masked() - lse)  # [batch, key_head, key, shared, query]
        products = _matmul(slice_block(self.value, *keys), self._columns(self.upstream_columns, tile))
        grad_weights = tf.reshape(products, tf.shape(weights))
        if arguments.dropout:
            factor = problem.dropout_factor(self.random_bits, tile)
            dropped, grad_weights = weights * factor, grad_weights * factor
        grad_logits = weights * (grad_weights - correction)
        if arguments.soft_cap is not None:
            grad_logits *= 1 - tf.square(block.logits / arguments.soft_cap)
        updated_biases = problem.add_bias_gradients(grad_biases, grad_logits, tile)
        grad_logits = tf.cast(merge_last_axes(grad_logits), problem.product_dtype)
        dropped = tf.cast(merge_last_axes(dropped), problem.product_dtype)
        update = _matmul(slice_block(self.key_columns, None, None, None, tile.column), grad_logits)
        update = tf.reshape(update, [*_sizes(update, 3), problem.shared, problem.query.size])
        return (
            add_block(grad_query, update, 0, 0, 0, 0, tile.row[0]),
            grad_key + _matmul(grad_logits, self._rows(self.query, tile)),
            grad_value + _matmul(dropped, self._rows(self.upstream, tile)),
            *updated_biases,
        )
