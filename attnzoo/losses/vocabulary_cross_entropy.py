"""Cross entropy over a large vocabulary without materializing all logits."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from attnzoo.attention.devices import device_type

CHUNK_ELEMENTS = {"CPU": 2**21, "GPU": 2**26}
"""Maximum number of logits in memory: 8 MiB, which stay in the last-level cache of a CPU; a GPU needs few,
large steps."""


def chunk_elements() -> int:
    """Returns the maximum for the device that the operations are placed on.

    Examples:
        >>> with tf.device("CPU"):
        ...     chunk_elements() == 2**21
        True
    """
    return CHUNK_ELEMENTS["GPU" if device_type() == "GPU" else "CPU"]


class VocabularyLoss(NamedTuple):
    """Results of `vocabulary_cross_entropy`, each <float32>[].

    Attributes:
        loss: differentiable with respect to `hidden` and `table`.
        correct: weighted number of rows whose label has the largest logit.
        divergence: weighted sum of the divergences of all pairs; 0 without `r_drop`.
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
    """Cross entropy of softmax(table hidden), summed over all rows.

        loss = sum_i w_i (lse_i - (1 - s) l[y_i, i] - s mean_v l[v, i])        l = table hidden^T
        dl   = w (exp(l - lse) - (1 - s) [v = y] - s / classes)

    With R-Drop the rows are two halves, the same examples with different dropout masks. The loss then also
    contains `a` times the divergence J of each pair (p, q) of softmaxes, the mean of KL(p, q) and KL(q, p):

        J    = sum_v (p - q) (log p - log q) / 2
        dl  += a w (p (log p - log q - KL(p, q)) + p - q) / 2, and likewise for q

    Logits, loss and both gradients are computed for one chunk of rows after another, so nothing of size
    [rows, classes] is materialized, and rows of weight 0 cost nothing. A chunk is stored as [classes, rows]:
    the softmax reduces over the major axis, and every product multiplies two matrices in their memory layout.

    Args:
        hidden: <float>[rows, units].
        table: <float>[classes, units], vector of each class; products are in the dtype of `hidden`.
        labels: <int32>[rows], class indices.
        weights: <float32>[rows]; 0 excludes a row.
        label_smoothing: s, 0 to 1, see `losses.cross_entropy`.
        r_drop: a, 0 or more; above 0, labels and weights of the two halves must be equal.

    Reference: Cut Cross-Entropy: Wijmans et al. 2024, https://arxiv.org/abs/2411.09009; R-Drop: Liang et al.
        2021, https://arxiv.org/abs/2106.14448

    Examples:
        >>> hidden, table = tf.zeros([3, 8]), tf.random.normal([5, 8])
        >>> result = vocabulary_cross_entropy(hidden, table, tf.constant([0, 1, 2]), tf.ones([3]))
        >>> float(result.loss)  # 3 log 5
        4.828...
    """
    labels, weights = tf.stop_gradient(labels), tf.stop_gradient(weights)
    smoothing, classes = label_smoothing, table.shape[0]

    @tf.custom_gradient
    def compute(hidden, table):
        result, grad_hidden, grad_table = _sum_over_chunks(hidden, table, labels, weights, smoothing, r_drop)
        # The terms of the label and of label smoothing are linear in the logits.
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

        return result._replace(loss=result.loss - smoothing * tf.reduce_sum(mean * total)), gradient

    return VocabularyLoss(*compute(hidden, table))


def _sum_over_chunks(hidden, table, labels, weights, smoothing, r_drop):
    """Processes the rows with nonzero weights in chunks; with R-Drop a chunk contains both rows of a pair.

    Returns:
        A `VocabularyLoss` of sum_i w_i (lse_i - (1 - s) l[y_i, i]) plus the divergences, and the gradients of
        sum_i w_i lse_i plus the divergences, <float32>[rows, units] and [classes, units].
    """
    halves = 2 if r_drop else 1
    rows, units, classes = tf.shape(hidden)[0] // halves, hidden.shape[1], table.shape[0]
    chunk = tf.minimum(rows, max(1, chunk_elements() // (classes * halves)))
    chunks = -(-rows // chunk)
    used = tf.math.count_nonzero(weights[:rows], dtype=tf.int32)
    order = tf.argsort(tf.cast(tf.equal(weights[:rows], 0.0), tf.int32), stable=True)  # nonzero first
    no_row = halves * rows  # index of a row of zeros
    indices = tf.pad(order, [[0, chunks * chunk - rows]], constant_values=no_row)
    indices = tf.reshape(indices, [chunks, chunk])
    if r_drop:
        indices = tf.concat([indices, tf.minimum(indices + rows, no_row)], axis=1)
    table = tf.cast(table, hidden.dtype)
    hidden, labels, weights = (
        tf.pad(tensor, [[0, 1]] + [[0, 0]] * (len(tensor.shape) - 1)) for tensor in (hidden, labels, weights)
    )

    def step(index, loss, correct, divergence, grad_hidden, grad_table):
        chunk_indices = indices[index]  # [halves * chunk]
        block, label, weight = (tf.gather(tensor, chunk_indices) for tensor in (hidden, labels, weights))
        logits = tf.matmul(table, tf.linalg.matrix_transpose(block))  # [classes, halves * chunk]
        softmax = _paired_softmax(logits, label, r_drop) if r_drop else _softmax(logits, label)
        losses = softmax.lse - (1.0 - smoothing) * softmax.label_logit
        scale = (weight / softmax.total)[:, None]
        grad_block = scale * tf.cast(tf.matmul(softmax.dlogits, table, transpose_a=True), tf.float32)
        scaled_block = tf.cast(scale * tf.cast(block, tf.float32), block.dtype)
        is_correct = tf.cast(softmax.label_logit >= softmax.max_logit, tf.float32)
        chunk_divergence = tf.reduce_sum(softmax.divergences * weight[:chunk])
        return (
            index + 1,
            loss + tf.reduce_sum(losses * weight) + r_drop * chunk_divergence,
            correct + tf.reduce_sum(is_correct * weight),
            divergence + chunk_divergence,
            grad_hidden.write(index, grad_block),  # [halves * chunk, units]
            grad_table + tf.cast(tf.matmul(softmax.dlogits, scaled_block), tf.float32),  # [classes, units]
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
    """Softmax of the logits [classes, rows] of a chunk.

    Attributes:
        dlogits: gradient of the loss with respect to the logits, times `total`, [classes, rows].
        total: [rows].
        lse: log-sum-exp of the logits, [rows].
        max_logit: [rows].
        label_logit: logit of the label, [rows].
        divergences: of the pairs, [rows / 2]; zeros without R-Drop.
    """

    dlogits: tf.Tensor
    total: tf.Tensor
    lse: tf.Tensor
    max_logit: tf.Tensor
    label_logit: tf.Tensor
    divergences: tf.Tensor


@tf.function(jit_compile=True, autograph=False)
def _softmax(logits: tf.Tensor, label: tf.Tensor) -> _Softmax:
    float32_logits, max_logit, label_logit = _row_logits(logits, label)
    exponentials = tf.exp(float32_logits - max_logit)
    total = tf.reduce_sum(exponentials, axis=0)
    lse = max_logit + tf.math.log(total)
    dlogits = tf.cast(exponentials, logits.dtype)
    return _Softmax(dlogits, total, lse, max_logit, label_logit, tf.zeros_like(max_logit))


@tf.function(jit_compile=True, autograph=False)
def _paired_softmax(logits: tf.Tensor, label: tf.Tensor, r_drop: float) -> _Softmax:
    float32_logits, max_logit, label_logit = _row_logits(logits, label)
    lse = max_logit + tf.math.log(tf.reduce_sum(tf.exp(float32_logits - max_logit), axis=0))
    log_p, log_q = tf.split(float32_logits - lse, 2, axis=1)
    p, q, log_ratio = tf.exp(log_p), tf.exp(log_q), log_p - log_q
    kl_p, kl_q = tf.reduce_sum(p * log_ratio, axis=0), -tf.reduce_sum(q * log_ratio, axis=0)
    half = 0.5 * r_drop
    dlogits_p = p + half * (p * (log_ratio - kl_p) + p - q)
    dlogits_q = q + half * (q * (-log_ratio - kl_q) + q - p)
    dlogits = tf.cast(tf.concat([dlogits_p, dlogits_q], axis=1), logits.dtype)
    divergences = 0.5 * (kl_p + kl_q)
    return _Softmax(dlogits, tf.ones_like(max_logit), lse, max_logit, label_logit, divergences)


def _row_logits(logits: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the logits as <float32>[classes, rows], and of each row the maximum and the label's logit."""
    float32_logits = tf.cast(logits, tf.float32)
    indices = tf.stack([label, tf.range(tf.shape(label)[0])], axis=1)
    return float32_logits, tf.reduce_max(float32_logits, axis=0), tf.gather_nd(float32_logits, indices)
