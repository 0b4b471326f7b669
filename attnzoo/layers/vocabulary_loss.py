"""Cross entropy over a large vocabulary without ever holding all logits."""

from __future__ import annotations

import tensorflow as tf

CHUNK_ELEMENTS = 2**21
"""Logits held at once: 8 MiB of them stay in the last cache of a CPU while they are worked on."""


def vocabulary_loss(
    hidden: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    label_smoothing: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy of softmax(table hidden), and how many labels score highest, summed over the rows.

        loss = sum_i w_i (lse_i - (1 - s) l[y_i, i] - s mean_v l[v, i])        l = table hidden^T
        dl   = w (exp(l - lse) - (1 - s) [v = y] - s / classes)

    Chunks of rows go one after another through logits, loss and both gradients, so that nothing of the size
    [rows, classes] is kept, and rows of weight 0 cost nothing. A chunk is held as [classes, rows]: the sums
    of the softmax run over the major axis, and every product is one of two matrices as they lie in memory.

    Args:
        hidden: <float>[rows, units].
        table: <float>[classes, units], the vector of each class; products are in the type of `hidden`.
        labels: <int32>[rows].
        weights: <float32>[rows], 0 leaves a row out.
        label_smoothing: s, 0 to 1, see `tasks.scoring.smoothed_cross_entropy`.

    Returns:
        Loss <float32>[] with gradients for `hidden` and `table`, and the weighted number of rows whose label
        scores highest <float32>[].

    Reference: Wijmans et al. 2024 (no logits in memory), https://arxiv.org/abs/2411.09009
    """
    labels, weights = tf.stop_gradient(labels), tf.stop_gradient(weights)
    smoothing, classes = label_smoothing, table.shape[0]

    @tf.custom_gradient
    def compute(hidden, table):
        loss, right, of_hidden, of_table = _by_chunks(hidden, table, labels, weights, smoothing)
        # What label and smoothing take off the loss is linear in the logits.
        weighted = weights[:, None] * tf.cast(hidden, tf.float32)
        wide_table = tf.cast(table, tf.float32)
        mean = tf.reduce_mean(wide_table, axis=0)
        total = tf.reduce_sum(weighted, axis=0)
        loss -= smoothing * tf.reduce_sum(mean * total)
        label_vectors = (1.0 - smoothing) * tf.gather(wide_table, labels) + smoothing * mean
        of_hidden -= weights[:, None] * label_vectors
        of_table -= (1.0 - smoothing) * tf.math.unsorted_segment_sum(weighted, labels, classes)
        of_table -= smoothing / classes * total

        def gradient(upstream, _):
            return tf.cast(upstream * of_hidden, hidden.dtype), tf.cast(upstream * of_table, table.dtype)

        return (loss, right), gradient

    return compute(hidden, table)


def _by_chunks(hidden, table, labels, weights, smoothing):
    """Works on the rows with a weight, chunk by chunk.

    Returns:
        sum_i w_i (lse_i - (1 - s) l[y_i, i]) and the weighted number of rows whose label scores highest, each
        <float32>[], and the gradients of sum_i w_i lse_i, <float32>[rows, units] and [classes, units].
    """
    rows, units, classes = tf.shape(hidden)[0], hidden.shape[1], table.shape[0]
    chunk = tf.minimum(rows, max(1, CHUNK_ELEMENTS // classes))
    chunks = -(-rows // chunk)
    used = tf.math.count_nonzero(weights, dtype=tf.int32)
    order = tf.argsort(tf.cast(tf.equal(weights, 0.0), tf.int32), stable=True)  # rows with a weight first
    places = tf.pad(order, [[0, chunks * chunk - rows]], constant_values=rows)  # `rows` is no row
    places = tf.reshape(places, [chunks, chunk])
    table = tf.cast(table, hidden.dtype)
    hidden, labels, weights = (
        tf.pad(tensor, [[0, 1]] + [[0, 0]] * (len(tensor.shape) - 1)) for tensor in (hidden, labels, weights)
    )

    def step(index, loss, right, of_hidden, of_table):
        place = places[index]  # [chunk]
        block, label, weight = (tf.gather(tensor, place) for tensor in (hidden, labels, weights))
        logits = tf.matmul(table, tf.linalg.matrix_transpose(block))  # [classes, chunk]
        powers, total, highest, of_label = _exponentials(logits, label)
        losses = highest + tf.math.log(total) - (1.0 - smoothing) * of_label
        share = weight / total
        to_hidden = share[:, None] * tf.cast(tf.matmul(powers, table, transpose_a=True), tf.float32)
        to_table = tf.matmul(powers, tf.cast(share[:, None] * tf.cast(block, tf.float32), block.dtype))
        return (
            index + 1,
            loss + tf.reduce_sum(losses * weight),
            right + tf.reduce_sum(tf.cast(of_label >= highest, tf.float32) * weight),
            of_hidden.write(index, to_hidden),  # [chunk, units]
            of_table + tf.cast(to_table, tf.float32),  # [classes, units]
        )

    state = (
        tf.constant(0),
        tf.constant(0.0),
        tf.constant(0.0),
        tf.TensorArray(tf.float32, size=chunks, element_shape=[None, units]),
        tf.zeros([classes, units], tf.float32),
    )
    _, loss, right, of_hidden, of_table = tf.while_loop(lambda index, *_: index * chunk < used, step, state)
    of_hidden = tf.reshape(of_hidden.stack(), [chunks * chunk, units])[:rows]
    inverse = tf.argsort(order, stable=True)
    return loss, right, tf.gather(of_hidden, inverse), of_table


@tf.function(jit_compile=True, autograph=False)
def _exponentials(logits: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns exp(logits - highest), [classes, chunk], its sum, the highest logit and that of the label."""
    wide = tf.cast(logits, tf.float32)
    highest = tf.reduce_max(wide, axis=0)
    powers = tf.exp(wide - highest)
    of_label = tf.gather_nd(wide, tf.stack([label, tf.range(tf.shape(label)[0])], axis=1))
    return tf.cast(powers, logits.dtype), tf.reduce_sum(powers, axis=0), highest, of_label
