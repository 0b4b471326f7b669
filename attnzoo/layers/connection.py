"""The feed-forward part of a block, and what surrounds every part."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from attnzoo.attention.base import check_positive
from attnzoo.attention.dropout import drop_by_key
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.fusion import fused
from attnzoo.layers.normalization import LayerNormalization, normalize

Norm = Literal["pre", "post", "none"]


def _join(outputs, inputs, scale, offset, *, words, rate, epsilon):
    outputs = drop_by_key(outputs, words, rate)
    if inputs is not None:
        outputs += tf.cast(inputs, outputs.dtype)
    return outputs if scale is None else normalize(outputs, scale, offset, epsilon=epsilon)


_fused_join = fused(_join)


@keras.saving.register_keras_serializable("attnzoo")
class FeedForward(keras.layers.Layer):
    """Two dense layers applied to each position, W_2 dropout(relu(W_1 x + b_1)) + b_2.

    Args:
        units: width of the output.
        hidden_units: width between the two.
        dropout: fraction of the hidden elements dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, time, features].
        training: whether dropout is active.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: `units` or `hidden_units` below 1, `dropout` outside [0, 1).
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
    """What surrounds a sublayer f: norm, dropout and residual.

        pre:  x + dropout(f(norm(x)))        post: norm(x + dropout(f(x)))        none: x + dropout(f(x))

    without "x +" if there is no residual. `pre` gives what f sees, `post` takes what f made of it.

    Args:
        norm: where the layer normalization stands.
        residual: whether the input is added.
        dropout: fraction of f's output dropped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: unknown `norm`, `dropout` outside [0, 1).
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
        """Returns what the sublayer sees."""
        return inputs if self.normalization is None or self.norm == "post" else self.normalization(inputs)

    def post(self, inputs: tf.Tensor, outputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Joins the input of `pre` with the sublayer's output."""
        norm = self.normalization if self.norm == "post" else None
        scale, offset = (None, None) if norm is None else (norm.gamma, norm.beta)
        epsilon = None if norm is None else norm.epsilon
        words = self.dropout.draw(training)
        inputs = inputs if self.residual else None
        join = _fused_join if training else _join
        return join(outputs, inputs, scale, offset, words=words, rate=self.dropout.rate, epsilon=epsilon)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"norm": self.norm, "residual": self.residual, "dropout": self.dropout.rate}
        return {**super().get_config(), **config}
