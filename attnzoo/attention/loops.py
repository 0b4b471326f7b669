"""The kernel's forward and backward pass, each one program of XLA.

The scores are never all in memory: loops go over blocks of queries and keys, the forward pass with a running
softmax, the backward pass with the weights computed again from the log of each row's sum (lse).

    S  = cap(scale Q K^T + bias)    P  = exp(S - lse)     O  = (P * M) V      M: dropout, 0 or 1 / (1 - rate)
    D  = rowsum(dO * O) - dlse      dP = (dO V^T) * M     dS = P * (dP - D) * cap'
    dQ = scale dS K                 dK = scale dS^T Q     dV = (P * M)^T dO   dbias = dS

A block is held as S^T, [key, query], so that the sums of the softmax run over the major axis and every
product is one of two matrices as they lie in memory: the forms that XLA is fast at on a CPU.

Reference: Rabe and Staats 2021, https://arxiv.org/abs/2112.05682; Dao 2023, https://arxiv.org/abs/2307.08691
"""

from __future__ import annotations

import tensorflow as tf

from attnzoo.attention.block_scores import (
    Place,
    Range,
    Work,
    add,
    cut_out,
    join_first,
    join_rows,
    product,
    write,
)
from attnzoo.attention.blocks import Targets
from attnzoo.attention.terms import Inputs, Options, length


def _repeat(body, first, last, state):
    """Runs `state = body(number, *state)` for the numbers `first` to `last`, end excluded."""
    results = tf.while_loop(
        lambda number, *_: number < last,
        lambda number, *state: (number + 1, *body(number, *state)),
        [tf.convert_to_tensor(first), *state],
    )
    return results[1:]


@tf.function(jit_compile=True, autograph=False)
def forward(inputs: Inputs, options: Options, targets: Targets) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output <float32>[batch, heads, query, value_dim] and lse <float32>[batch, heads, query]."""
    work = Work(inputs, options, targets)
    all_queries = work.split(inputs.query)  # [batch, key_head, shared, query, dim]

    def group_step(number, output, lse):
        group = work.group(number)
        query = tf.cast(cut_out(all_queries, *group), work.dtype) * options.scale
        query = tf.cast(tf.transpose(query, [0, 1, 4, 2, 3]), work.product_dtype)
        value = tf.linalg.matrix_transpose(cut_out(inputs.value, *group))
        query = join_first(query)  # [batch * key_head, dim, shared, query]
        key = join_first(tf.cast(cut_out(inputs.key, *group), work.product_dtype))
        value = join_first(tf.cast(value, work.product_dtype))  # [batch * key_head, value_dim, key]
        row_bits = work.row_bits(group) if options.dropout else None

        def query_step(query_block, output, lse):
            rows = work.place(group, query_block, 0).row
            block_query = join_rows(cut_out(query, None, None, None, rows))

            def key_step(key_block, highest, total, context):
                place = work.place(group, query_block, key_block)._replace(first_row=None)
                products = product(cut_out(key, None, place.column), block_query)
                scores = work.scores(products, place).masked()
                # One axis for all rows: XLA's fast reductions want the plain output of a product.
                scores = tf.reshape(scores, tf.shape(products))  # [batch * key_head, key, shared * query]
                new_highest = tf.maximum(highest, tf.reduce_max(scores, axis=1))
                weights = tf.exp(scores - new_highest[:, None])
                decay = tf.exp(highest - new_highest)  # [batch * key_head, shared * query]
                total = total * decay + tf.reduce_sum(weights, axis=1)
                if options.dropout:
                    weights *= tf.reshape(work.dropout_factor(row_bits, place), tf.shape(weights))
                update = product(cut_out(value, None, None, place.column), tf.cast(weights, value.dtype))
                return new_highest, total, context * decay[:, None] + update

            state = _no_keys(work, group, value)
            highest, total, context = _repeat(key_step, *work.keys_of(query_block), state)
            # The log of a row without any key is that of 0.
            block_lse = tf.where(total > 0, highest, 0) + tf.math.log(total)
            context = tf.math.divide_no_nan(context, total[:, None])
            sizes = (work.batch.size, work.head.size)
            context = tf.reshape(context, [*sizes, length(value, 1), work.shared, work.query.size])
            block_lse = tf.reshape(block_lse, [*sizes, work.shared, work.query.size])
            starts = (group[0][0], group[1][0], 0, rows[0])
            output = write(output, tf.transpose(context, [0, 1, 3, 4, 2]), *starts)
            return output, write(lse, block_lse, *starts)

        return _repeat(query_step, 0, work.query.num, (output, lse))

    axes = _sizes(all_queries, 4)
    output = tf.zeros([*axes, length(inputs.value, 3)], work.dtype)
    output, lse = _repeat(group_step, 0, work.groups, (output, tf.zeros(axes, work.dtype)))
    return _join_heads(output), _join_heads(lse)


def _sizes(tensor: tf.Tensor, count: int) -> list:
    return [length(tensor, axis) for axis in range(count)]


def _join_heads(tensor: tf.Tensor) -> tf.Tensor:
    """Returns [batch, heads, ...] of [batch, key_head, shared, ...]."""
    sizes = _sizes(tensor, tensor.shape.rank)
    return tf.reshape(tensor, [sizes[0], sizes[1] * sizes[2], *sizes[3:]])


def _no_keys(work: Work, group, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns highest score, sum of exponentials and weighted values before the first key."""
    sizes = [work.batch.size, work.head.size, work.shared, work.query.size]
    rows = [sizes[0] * sizes[1], sizes[2] * sizes[3]]
    context = tf.zeros([rows[0], length(value, 1), rows[1]], work.dtype)
    if work.inputs.sink is None:
        return tf.fill(rows, work.dtype.min), tf.zeros(rows, work.dtype), context
    sink = tf.cast(cut_out(work.split(work.inputs.sink, 0), group[1]), work.dtype)[:, :, None]
    return tf.reshape(tf.broadcast_to(sink, sizes), rows), tf.ones(rows, work.dtype), context


@tf.function(jit_compile=True, autograph=False)
def backward(
    inputs: Inputs,
    output: tf.Tensor,
    lse: tf.Tensor,
    output_gradient: tf.Tensor,
    lse_gradient: tf.Tensor,
    options: Options,
    targets: Targets,
) -> list[tf.Tensor]:
    """Returns the gradients of `inputs.sources`."""
    work = Work(inputs, options, targets)
    upstream = tf.cast(output_gradient, work.dtype)
    correction = tf.reduce_sum(upstream * tf.cast(output, work.dtype), axis=-1) - lse_gradient
    # exp(S - inf) is 0 for a row without any key, whose every S is -inf.
    lse = tf.where(tf.math.is_inf(lse), tf.constant(float("inf"), lse.dtype), lse)
    of_rows = [work.split(tensor) for tensor in (inputs.query, output_gradient, lse, correction)]

    def group_step(number, query_gradient, key_gradient, value_gradient, *bias_gradients):
        group = work.group(number)
        part = _Part(
            work, group, *(cut_out(tensor, *group) for tensor in (*of_rows, inputs.key, inputs.value))
        )

        def key_step(key_block, query_part, key_part, value_part, *bias_gradients):
            keys = work.place(group, 0, key_block).column
            state = (query_part, *part.no_gradient(keys), *bias_gradients)
            query_part, of_key, of_value, *bias_gradients = _repeat(
                lambda query_block, *state: part.step(work.place(group, query_block, key_block), *state),
                *work.queries_of(key_block),
                state,
            )
            key_part = add(key_part, of_key * options.scale, 0, 0, keys[0])
            return query_part, key_part, add(value_part, of_value, 0, 0, keys[0]), *bias_gradients

        state = (*part.no_gradients(), *bias_gradients)
        query_part, key_part, value_part, *bias_gradients = _repeat(key_step, 0, work.key.num, state)
        query_part = tf.transpose(query_part, [0, 1, 3, 4, 2])  # [batch, key_head, shared, query, dim]
        starts = (group[0][0], group[1][0])
        return (
            write(query_gradient, query_part * options.scale, *starts),
            write(key_gradient, key_part, *starts),
            write(value_gradient, value_part, *starts),
            *bias_gradients,
        )

    state = [tf.zeros_like(tensor) for tensor in (of_rows[0], inputs.key, inputs.value)]
    query_gradient, *gradients = _repeat(group_step, 0, work.groups, (*state, *work.no_bias_gradients()))
    gradients = [_join_heads(query_gradient), *gradients]
    if inputs.sink is not None:
        weights = tf.exp(tf.cast(inputs.sink, work.dtype)[:, None] - lse)  # [batch, heads, query]
        gradients.append(-tf.reduce_sum(weights * correction, axis=[0, 2]))
    return [
        tf.cast(tf.reshape(gradient, tf.shape(source)), source.dtype)
        for gradient, source in zip(gradients, inputs.sources, strict=True)
    ]


class _Part:
    """The backward pass of one group: its tensors in the forms that the products need."""

    def __init__(self, work: Work, group, query, upstream, lse, correction, key, value) -> None:
        half = work.product_dtype
        self.work, self.lse, self.correction = work, lse, correction  # [batch, key_head, shared, query]
        self.query, self.upstream = tf.cast(query, half), tf.cast(upstream, half)  # [..., shared, query, dim]
        self.key, self.value = tf.cast(key, half), tf.cast(value, half)  # [batch, key_head, key, dim]
        scaled = tf.cast(query, work.dtype) * work.options.scale
        self.query_columns = tf.cast(tf.transpose(scaled, [0, 1, 4, 2, 3]), half)  # [..., dim, shared, query]
        self.upstream_columns = tf.transpose(self.upstream, [0, 1, 4, 2, 3])
        self.key_columns = tf.linalg.matrix_transpose(self.key)  # [batch, key_head, dim, key]
        self.row_bits = work.row_bits(group) if work.options.dropout else None

    def no_gradients(self) -> list[tf.Tensor]:
        """Returns zeros for the gradients of query (dim first), key and value."""
        return [
            tf.zeros_like(tensor, self.work.dtype) for tensor in (self.query_columns, self.key, self.value)
        ]

    def no_gradient(self, keys: Range) -> list[tf.Tensor]:
        """Returns zeros for the gradients of a block of keys and values."""
        blocks = (cut_out(tensor, None, None, keys) for tensor in (self.key, self.value))
        return [tf.zeros_like(block, self.work.dtype) for block in blocks]

    def _columns(self, tensor: tf.Tensor, place: Place) -> tf.Tensor:
        """Returns [batch, key_head, dim, shared * query] of a block."""
        return join_rows(cut_out(tensor, None, None, None, None, place.row))

    def _rows(self, tensor: tf.Tensor, place: Place) -> tf.Tensor:
        """Returns [batch, key_head, shared * query, dim] of a block."""
        rows = cut_out(tensor, None, None, None, place.row)
        return tf.reshape(rows, [*_sizes(rows, 2), self.work.shared * self.work.query.size, length(rows, 4)])

    def step(self, place: Place, query_part, of_key, of_value, *bias_gradients):
        """Adds what one block gives to each gradient."""
        work, options = self.work, self.work.options
        keys = (None, None, place.column)
        products = product(cut_out(self.key, *keys), self._columns(self.query_columns, place))
        block = work.scores(products, place)
        lse, correction = (
            cut_out(tensor, None, None, None, place.row)[:, :, None] for tensor in (self.lse, self.correction)
        )
        weights = dropped = tf.exp(block.masked() - lse)  # [batch, key_head, key, shared, query]
        products = product(cut_out(self.value, *keys), self._columns(self.upstream_columns, place))
        of_weights = tf.reshape(products, tf.shape(weights))
        if options.dropout:
            factor = work.dropout_factor(self.row_bits, place)
            dropped, of_weights = weights * factor, of_weights * factor
        of_scores = weights * (of_weights - correction)
        if options.soft_cap is not None:
            of_scores *= 1 - tf.square(block.scores / options.soft_cap)
        added = work.add_bias_gradients(bias_gradients, of_scores, place)
        of_scores = tf.cast(join_rows(of_scores), work.product_dtype)
        dropped = tf.cast(join_rows(dropped), work.product_dtype)
        of_query = product(cut_out(self.key_columns, None, None, None, place.column), of_scores)
        of_query = tf.reshape(of_query, [*_sizes(of_query, 3), work.shared, work.query.size])
        return (
            add(query_part, of_query, 0, 0, 0, 0, place.row[0]),
            of_key + product(of_scores, self._rows(self.query, place)),
            of_value + product(dropped, self._rows(self.upstream, place)),
            *added,
        )
