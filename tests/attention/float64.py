"""Scaled dot-product attention and its gradients in NumPy float64, written from the formulas.

    raw = scale Q K^T + bias + distance_bias - slope |k - q|      S = cap tanh(raw / cap)
    lse = log(sum_k exp(S) + exp(sink))     P = exp(S - lse)     O = (P * M) V     M: 0 or 1 / (1 - rate)

For a loss whose gradients are dO and dlse:

    dP = (dO V^T) * M    D = rowsum(P * dP)    dS = P * (dP - D + dlse)    draw = dS * (1 - (S / cap)^2)
    dQ = scale draw K    dK = scale draw^T Q   dV = (P * M)^T dO           dsink = sum P_sink * (dlse - D)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SOURCES = ("query", "key", "value", "bias", "distance_bias", "alibi_slopes", "sink")
"""The arguments with a gradient."""


class Result(NamedTuple):
    """What `attend` computes.

    Attributes:
        output: [batch, heads, query, value_dim].
        lse: [batch, heads, query], -inf where there is neither a key nor a sink.
        weights: [batch, heads, query, key], before dropout.
        capped: [batch, heads, query, key], the logits, before masking.
        distance: [query, key], key position minus query position.
        factor: [batch, heads, query, key] or a number, what dropout multiplies the weights by.
    """

    output: np.ndarray
    lse: np.ndarray
    weights: np.ndarray
    capped: np.ndarray
    distance: np.ndarray
    factor: np.ndarray | float


def share_heads(tensor, heads):
    """Gives query head h the key head h // (heads / key_heads): [batch, heads, key, dim]."""
    return np.asarray(tensor, np.float64)[:, np.arange(heads) // (heads // tensor.shape[1])]


def distances(queries, keys, align):
    if isinstance(align, str):
        align = {"top_left": 0, "bottom_right": keys - queries}[align]
    return np.arange(keys) - (np.arange(queries)[:, None] + align)


def attend(
    query,
    key,
    value,
    *,
    padding_mask=None,
    segment_ids=None,
    causal=False,
    window=None,
    align="top_left",
    bias=None,
    distance_bias=None,
    alibi_slopes=None,
    scale=None,
    soft_cap=None,
    sink=None,
    dropout=0.0,
    keep=None,
):
    """Takes the arguments of `attention` as NumPy arrays.

    Instead of a seed it takes the dropout mask `keep`, <bool>[batch, heads, query, key].
    """
    (_, heads, queries, dim), keys = query.shape, key.shape[2]
    distance = distances(queries, keys, align)
    products = np.einsum("bhqd,bhkd->bhqk", np.asarray(query, np.float64), share_heads(key, heads))
    raw = products * (dim**-0.5 if scale is None else scale)
    if bias is not None:
        raw = raw + np.asarray(bias, np.float64)
    if distance_bias is not None:
        entry = np.arange(keys) - np.arange(queries)[:, None] + queries - 1
        raw = raw + np.asarray(distance_bias, np.float64)[:, entry]
    if alibi_slopes is not None:
        raw = raw - np.asarray(alibi_slopes, np.float64)[:, None, None] * np.abs(distance)
    capped = raw if soft_cap is None else soft_cap * np.tanh(raw / soft_cap)
    allowed = raw > -np.inf
    if padding_mask is not None:
        allowed &= np.asarray(padding_mask, bool)[:, None, None, :]
    if segment_ids is not None:
        query_ids, key_ids = segment_ids if isinstance(segment_ids, tuple) else (segment_ids, segment_ids)
        allowed &= (np.asarray(query_ids)[:, :, None] == np.asarray(key_ids)[:, None, :])[:, None]
    if causal:
        allowed &= distance <= 0
    if window is not None:
        left, right = (window, window) if isinstance(window, int) else window
        allowed &= (-left <= distance) & (distance <= right)
    logits = np.where(allowed, capped, -np.inf)
    lse = log_sum_exp(logits, sink)
    weights = np.exp(logits - np.where(np.isinf(lse), 0, lse)[..., None])
    factor = 1.0 if keep is None else np.asarray(keep) / (1 - dropout)
    output = np.einsum("bhqk,bhkd->bhqd", weights * factor, share_heads(value, heads))
    return Result(output, lse, weights, capped, distance, factor)


def log_sum_exp(logits, sink):
    if sink is not None:
        column = np.broadcast_to(np.asarray(sink, np.float64)[:, None, None], (*logits.shape[:3], 1))
        logits = np.concatenate([logits, column], axis=-1)
    row_max = logits.max(axis=-1)
    row_max = np.where(np.isinf(row_max), 0, row_max)
    with np.errstate(divide="ignore"):  # log(0) of a row with nothing to attend to
        return row_max + np.log(np.exp(logits - row_max[..., None]).sum(axis=-1))


def gradients(query, key, value, output_gradient, lse_gradient, **arguments):
    """Returns the gradient of sum(output * output_gradient) + sum(finite lse * lse_gradient) by source."""
    result = attend(query, key, value, **arguments)
    heads, key_heads, queries = query.shape[1], key.shape[1], query.shape[2]
    scale = query.shape[3] ** -0.5 if arguments.get("scale") is None else arguments["scale"]
    output_gradient = np.asarray(output_gradient, np.float64)
    lse_gradient = np.where(np.isinf(result.lse), 0, lse_gradient)
    weights, soft_cap = result.weights, arguments.get("soft_cap")
    dropped = np.einsum("bhqd,bhkd->bhqk", output_gradient, share_heads(value, heads)) * result.factor
    row = (weights * dropped).sum(axis=-1)  # D
    raw = weights * (dropped - row[..., None] + lse_gradient[..., None])
    if soft_cap is not None:
        raw = raw * (1 - (result.capped / soft_cap) ** 2)

    def sum_heads(tensor):
        batch, _, *rest = tensor.shape
        return tensor.reshape(batch, key_heads, heads // key_heads, *rest).sum(axis=2)

    grads = {
        "query": scale * np.einsum("bhqk,bhkd->bhqd", raw, share_heads(key, heads)),
        "key": scale * sum_heads(np.einsum("bhqk,bhqd->bhkd", raw, np.asarray(query, np.float64))),
        "value": sum_heads(np.einsum("bhqk,bhqd->bhkd", weights * result.factor, output_gradient)),
    }
    if arguments.get("bias") is not None:
        broadcast = tuple(axis for axis, size in enumerate(arguments["bias"].shape) if size == 1)
        grads["bias"] = raw.sum(axis=broadcast, keepdims=True)
    if arguments.get("distance_bias") is not None:
        by_pair = raw.sum(axis=0)  # [heads, query, key]
        grads["distance_bias"] = np.stack(
            # The diagonal of equal key minus query, from the last query and key 0 on.
            [by_pair.trace(offset, axis1=1, axis2=2) for offset in range(1 - queries, raw.shape[3])],
            axis=-1,
        )
    if arguments.get("alibi_slopes") is not None:
        grads["alibi_slopes"] = -(raw * np.abs(result.distance)).sum(axis=(0, 2, 3))
    if arguments.get("sink") is not None:
        sink_weights = np.exp(np.asarray(arguments["sink"], np.float64)[:, None] - result.lse)
        grads["sink"] = (sink_weights * (lse_gradient - row)).sum(axis=(0, 2))
    return grads
