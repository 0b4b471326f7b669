"""The feed-forward network of a block, and the residual connection around each sublayer."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.dropout import drop_with_key
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.fusion import fused
from attnzoo.layers.normalization import LayerNormalization, normalize

Norm = Literal["pre", "post", "none"]


def _combine(outputs, inputs, scale, offset, *, rng_key, rate, epsilon):
    outputs = drop_with_key(outputs, rng_key, rate)
    if inputs is not None:
        outputs += tf.cast(inputs, outputs.dtype)
    return outputs if scale is None else normalize(outputs, scale, offset, epsilon=epsilon)


_fused_combine = fused(_combine)


@keras.saving.register_keras_serializable("attnzoo")
class FeedForward(keras.layers.Layer):
    """Two dense layers applied to each position, W_2 dropout(relu(W_1 x + b_1)) + b_2.

    Args:
        units: width of the output, 1 or more.
        hidden_units: width of the hidden layer, 1 or more.
        dropout: fraction of the hidden activations dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, features].
        training: whether dropout is active.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: `units` or `hidden_units` below 1, `dropout` outside [0, 1).

    Examples:
        >>> FeedForward(units=16, hidden_units=64)(tf.random.normal([2, 7, 16])).shape
        TensorShape([2, 7, 16])
    """

    def __init__(self, units: int, hidden_units: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.hidden_units = check_positive("hidden_units", hidden_units)
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.hidden = keras.layers.Dense(
            hidden_units, activation="relu", name="hidden", dtype=self.dtype_policy
        )
        self.outputs = keras.layers.Dense(units, name="output", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Builds the sublayers."""
        hidden_shape = (*inputs_shape[:-1], self.hidden_units)
        self.hidden.build(inputs_shape)
        self.dropout.build(hidden_shape)
        self.outputs.build(hidden_shape)
        self.built = True

    def call(self, inputs, training=None):
        """Applies both layers."""
        return self.outputs(self.dropout(self.hidden(inputs), training=training))

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"units": self.units, "hidden_units": self.hidden_units, "dropout": self.dropout.rate}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("attnzoo")
class Connection(keras.layers.Layer):
    """Layer normalization, dropout and residual connection around a sublayer f.

        pre:  x + dropout(f(norm(x)))        post: norm(x + dropout(f(x)))        none: x + dropout(f(x))

    without "x +" if `residual` is False. `pre` returns the input of f; `post` takes its output.

    Args:
        norm: position of the layer normalization: "pre", "post" or "none".
        residual: whether the input is added to the output.
        dropout: fraction of f's output dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: unknown `norm`, `dropout` outside [0, 1).

    Examples:
        >>> connection, f = Connection("none", residual=True, dropout=0.0), tf.square
        >>> inputs = tf.constant([[2.0, 3.0]])
        >>> connection.post(inputs, f(connection.pre(inputs)), training=False).numpy().tolist()
        [[6.0, 12.0]]
    """

    def __init__(self, norm: Norm, residual: bool, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if norm not in get_args(Norm):
            raise ValueError(f"`norm` must be one of {', '.join(get_args(Norm))}. Received: norm={norm!r}")
        self.norm = norm
        self.residual = residual
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.normalization = (
            None if norm == "none" else LayerNormalization(epsilon=1e-6, name="norm", dtype=self.dtype_policy)
        )

    def build(self, inputs_shape):
        """Builds the sublayers."""
        self.dropout.build(inputs_shape)
        if self.normalization is not None:
            self.normalization.build(inputs_shape)
        self.built = True

    def pre(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the input of the sublayer."""
        return inputs if self.normalization is None or self.norm == "post" else self.normalization(inputs)

    def post(self, inputs: tf.Tensor, outputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Combines the input of `pre` with the output of the sublayer."""
        norm = self.normalization if self.norm == "post" else None
        scale, offset = (None, None) if norm is None else (norm.gamma, norm.beta)
        epsilon = None if norm is None else norm.epsilon
        rng_key = self.dropout.next_rng_key(outputs, training)
        inputs = inputs if self.residual else None
        combine = _fused_combine if training else _combine
        return combine(
            outputs, inputs, scale, offset, rng_key=rng_key, rate=self.dropout.rate, epsilon=epsilon
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"norm": self.norm, "residual": self.residual, "dropout": self.dropout.rate}
        return {**super().get_config(), **config}
