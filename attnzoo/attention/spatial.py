"""A spatial gate: it scales positions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.gate import Gate, flatten_positions
from attnzoo.attention.options import GateOptions
from attnzoo.attention.position_score import PositionScore


class Config(GateOptions):
    """Options of `SpatialGate`."""

    name: Literal["spatial"] = Field(
        "spatial",
        description="Gate: scales each position by its softmax weight; self-attention only.",
    )
    hidden_units: Annotated[int, Field(ge=0)] = Field(
        0, description="Width of the tanh layer that scores a position, 0 or more; 0 = a linear score."
    )
    rescale: bool = Field(
        True, description="Multiply by the number of positions, so that uniform attention changes nothing."
    )


@keras.saving.register_keras_serializable("attnzoo")
class SpatialGate(Gate):
    """Scales each position by its attention weight.

        alpha = softmax over positions of E(x)        y_i = alpha_i x_i        E: see `PositionScore`

    Args:
        units: width of the input and output, 1 or more.
        hidden_units: width of the tanh layer in E, 0 or more; 0 for a linear score.
        rescale: whether to multiply by the number of valid positions, so that uniform attention leaves x
            unchanged. Without it, y shrinks with the number of positions.
        **kwargs: `kernel_initializer` and other arguments of `AttentionLayer`.

    Call arguments: those of `Gate`.

    Returns:
        <float>, the shape of the query; with `return_attention_scores` also alpha,
        <float32>[batch, 1, 1, positions].

    Raises:
        ValueError: `hidden_units` below 0; also raises what `Gate` raises.

    Examples:
        >>> layer = SpatialGate(units=16)
        >>> outputs, weights = layer(tf.random.normal([2, 7, 16]), return_attention_scores=True)
        >>> outputs.shape, tf.reduce_sum(weights, axis=-1).numpy().round(3).ravel().tolist()
        (TensorShape([2, 7, 16]), [1.0, 1.0])
    """

    def __init__(self, units: int, hidden_units: int = 0, rescale: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.rescale = rescale
        self.score = PositionScore(
            hidden_units, self.kernel_initializer, name="score", dtype=self.dtype_policy
        )

    def build_projections(self, query_shape, value_shape, key_shape):
        """Builds the sublayers."""
        self.score.build(query_shape)

    def gate(self, inputs, valid):
        """Returns y and alpha."""
        valid = flatten_positions(valid)[..., 0]  # [batch, positions]
        weights = self.score(flatten_positions(inputs), padding_mask=valid)  # [batch, positions]
        factors = weights
        if self.rescale:
            factors *= tf.reduce_sum(tf.cast(valid, weights.dtype), axis=-1, keepdims=True)
        # Not [..., None], which LiteRT does not convert.
        outputs = flatten_positions(inputs) * tf.expand_dims(tf.cast(factors, inputs.dtype), -1)
        return keras.ops.reshape(outputs, keras.ops.shape(inputs)), weights[:, None, None]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_units": self.score.hidden_units, "rescale": self.rescale}
