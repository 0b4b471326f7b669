"""Scaled dot-product attention."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from attnzoo.attention import reference
from attnzoo.attention.terms import prepare

Implementation = Literal["auto", "xla", "reference"]


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    return_lse: bool = False,
    implementation: Implementation = "auto",
    **terms: Any,
):
    """TEMPORARY: the reference."""
    inputs, options = prepare(query, key, value, **terms)
    output, lse = reference.compute(inputs, options)
    return (output, lse) if return_lse else output
