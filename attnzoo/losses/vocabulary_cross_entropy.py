"""Cross entropy over a large vocabulary without ever holding all logits."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

CHUNK_ELEMENTS = 2**21
"""Logits held at once: 8 MiB of them stay in the last cache of a CPU while they are worked on."""


class VocabularyLoss(NamedTuple):
    """What `vocabulary_cross_entropy` gives, each <float32>[].

    Attributes:
        loss: with gradients for `hidden` and `table`.
        correct: weighted number of rows whose label scores highest.
        divergence: weighted sum of the divergences of the pairs; 0 without `r_drop`.
    """

    loss: tf.Tensor
    correct: tf.Tensor
    divergence: tf.Tensor


def vocabulary_cross_entropy(
    hidden: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    label_smoothing: float = 0.0,
    r_drop: float = 0.0,
) -> VocabularyLoss:
    """Cross entropy of softmax(table hidden), summed over the rows.

        loss = sum_i w_i (lse_i - (1 - s) l[y_i, i] - s mean_v l[v, i])        l = table hidden^T
        dl   = w (exp(l - lse) - (1 - s) [v = y] - s / classes)

    With R-Drop the rows are two halves, the same examples under different dropout, and the loss has a
    times the divergence J of each pair (p, q) of softmaxes in it, the mean of both Kullback-Leibler ones:

        J    = sum_v (p - q) (log p - log q) / 2
        dl   = a w (p (log p - log q - KL(p, q)) + p - q) / 2 besides, and the same for q

    Chunks of rows go one after another through logits, loss and both gradients, so that nothing of the size
    [rows, classes] is kept, and rows of weight 0 cost nothing. A chunk is held as [classes, rows]: the sums
    of the softmax run over the major axis, and every product is one of two matrices as they lie in memory.

    Args:
        hidden: <float>[rows, units].
        table: <float>[classes, units], the vector of each class; products are in the type of `hidden`.
        labels: <int32>[rows].
        weights: <float32>[rows], 0 leaves a row out.
        label_smoothing: s, 0 to 1, see `losses.cross_entropy`.
        r_drop: a, at least 0; above 0 labels and weights of the halves must be the same.

    References:
        No logits in memory: Wijmans et al. 2024, https://arxiv.org/abs/2411.09009
        R-Drop: Liang et al. 2021, https://arxiv.org/abs/2106.14448
    """
    labels, weights = tf.stop_gradient(labels), tf.stop_gradient(weights)
    smoothing, classes = label_smoothing, table.shape[0]

    @tf.custom_gradient
    def compute(hidden, table):
        found, grad_hidden, grad_table = _by_chunks(hidden, table, labels, weights, smoothing, r_drop)
        # What label and smoothing take off the loss is linear in the logits.
        weighted = weights[:, None] * tf.cast(hidden, tf.float32)
        float32_table = tf.cast(table, tf.float32)
        mean = tf.reduce_mean(float32_table, axis=0)
        total = tf.reduce_sum(weighted, axis=0)
        label_vectors = (1.0 - smoothing) * tf.gather(float32_table, labels) + smoothing * mean
        grad_hidden -= weights[:, None] * label_vectors
        grad_table -= (1.0 - smoothing) * tf.math.unsorted_segment_sum(weighted, labels, classes)
        grad_table -= smoothing / classes * total

        def gradient(upstream, *_):
            return tf.cast(upstream * grad_hidden, hidden.dtype), tf.cast(upstream * grad_table, table.dtype)

        return found._replace(loss=found.loss - smoothing * tf.reduce_sum(mean * total)), gradient

    return VocabularyLoss(*compute(hidden, table))


def _by_chunks(hidden, table, labels, weights, smoothing, r_drop):
    """Works on the rows with a weight, chunk by chunk; with R-Drop both rows of a pair are in one.

    Returns:
        A `VocabularyLoss` of sum_i w_i (lse_i - (1 - s) l[y_i, i]) and the divergences, and the gradients
        of sum_i w_i lse_i and the divergences, <float32>[rows, units] and [classes, units].
    """
    halves = 2 if r_drop else 1
    rows, units, classes = tf.shape(hidden)[0] // halves, hidden.shape[1], table.shape[0]
    chunk = tf.minimum(rows, max(1, CHUNK_ELEMENTS // (classes * halves)))
    chunks = -(-rows // chunk)
    used = tf.math.count_nonzero(weights[:rows], dtype=tf.int32)
    order = tf.argsort(tf.cast(tf.equal(weights[:rows], 0.0), tf.int32), stable=True)  # with a weight first
    no_row = halves * rows
    places = tf.pad(order, [[0, chunks * chunk - rows]], constant_values=no_row)
    places = tf.reshape(places, [chunks, chunk])
    if r_drop:
        places = tf.concat([places, tf.minimum(places + rows, no_row)], axis=1)
    table = tf.cast(table, hidden.dtype)
    hidden, labels, weights = (
        tf.pad(tensor, [[0, 1]] + [[0, 0]] * (len(tensor.shape) - 1)) for tensor in (hidden, labels, weights)
    )

    def step(index, loss, correct, divergence, grad_hidden, grad_table):
        place = places[index]  # [halves * chunk]
        block, label, weight = (tf.gather(tensor, place) for tensor in (hidden, labels, weights))
        logits = tf.matmul(table, tf.linalg.matrix_transpose(block))  # [classes, halves * chunk]
        found = _diverging(logits, label, r_drop) if r_drop else _softmax(logits, label)
        losses = found.log_normalizer - (1.0 - smoothing) * found.of_label
        share = weight / found.total
        to_hidden = share[:, None] * tf.cast(tf.matmul(found.dlogits, table, transpose_a=True), tf.float32)
        to_table = tf.matmul(found.dlogits, tf.cast(share[:, None] * tf.cast(block, tf.float32), block.dtype))
        gap = tf.reduce_sum(found.divergences * weight[:chunk])
        return (
            index + 1,
            loss + tf.reduce_sum(losses * weight) + r_drop * gap,
            correct + tf.reduce_sum(tf.cast(found.of_label >= found.highest, tf.float32) * weight),
            divergence + gap,
            grad_hidden.write(index, to_hidden),  # [halves * chunk, units]
            grad_table + tf.cast(to_table, tf.float32),  # [classes, units]
        )

    state = (
        tf.constant(0),
        tf.constant(0.0),
        tf.constant(0.0),
        tf.constant(0.0),
        tf.TensorArray(tf.float32, size=chunks, element_shape=[None, units]),
        tf.zeros([classes, units], tf.float32),
    )
    _, *sums, grad_hidden, grad_table = tf.while_loop(lambda index, *_: index * chunk < used, step, state)
    grad_hidden = tf.reshape(grad_hidden.stack(), [chunks, halves, chunk, units])
    grad_hidden = tf.reshape(tf.transpose(grad_hidden, [1, 0, 2, 3]), [halves, chunks * chunk, units])
    grad_hidden = tf.gather(grad_hidden, tf.argsort(order, stable=True), axis=1)
    return VocabularyLoss(*sums), tf.reshape(grad_hidden, [halves * rows, units]), grad_table


class _Softmax(NamedTuple):
    """What a chunk needs of its logits [classes, rows].

    Attributes:
        dlogits: the gradient with regard to them times `total`, [classes, rows].
        total: [rows].
        log_normalizer: [rows].
        highest: logit, [rows].
        of_label: its logit, [rows].
        divergences: of the pairs, [rows / 2]; 0 without.
    """

    dlogits: tf.Tensor
    total: tf.Tensor
    log_normalizer: tf.Tensor
    highest: tf.Tensor
    of_label: tf.Tensor
    divergences: tf.Tensor


@tf.function(jit_compile=True, autograph=False)
def _softmax(logits: tf.Tensor, label: tf.Tensor) -> _Softmax:
    float32_logits, highest, of_label = _looked_up(logits, label)
    powers = tf.exp(float32_logits - highest)
    total = tf.reduce_sum(powers, axis=0)
    normalizer = highest + tf.math.log(total)
    return _Softmax(
        tf.cast(powers, logits.dtype), total, normalizer, highest, of_label, tf.zeros_like(highest)
    )


@tf.function(jit_compile=True, autograph=False)
def _diverging(logits: tf.Tensor, label: tf.Tensor, r_drop: float) -> _Softmax:
    float32_logits, highest, of_label = _looked_up(logits, label)
    normalizer = highest + tf.math.log(tf.reduce_sum(tf.exp(float32_logits - highest), axis=0))
    first, second = tf.split(float32_logits - normalizer, 2, axis=1)  # logarithms of p and of q
    p, q, gap = tf.exp(first), tf.exp(second), first - second
    forward, backward = tf.reduce_sum(p * gap, axis=0), -tf.reduce_sum(q * gap, axis=0)
    half = 0.5 * r_drop
    dlogits_p = p + half * (p * (gap - forward) + p - q)
    dlogits_q = q + half * (q * (-gap - backward) + q - p)
    dlogits = tf.cast(tf.concat([dlogits_p, dlogits_q], axis=1), logits.dtype)
    divergences = 0.5 * (forward + backward)
    return _Softmax(dlogits, tf.ones_like(highest), normalizer, highest, of_label, divergences)


def _looked_up(logits: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the logits as <float32>[classes, rows], the highest of a row and that of its label."""
    float32_logits = tf.cast(logits, tf.float32)
    places = tf.stack([label, tf.range(tf.shape(label)[0])], axis=1)
    return float32_logits, tf.reduce_max(float32_logits, axis=0), tf.gather_nd(float32_logits, places)
