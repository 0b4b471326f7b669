"""Residual convolutional blocks."""

from __future__ import annotations

from typing import Any

import keras

from attnzoo.attention import mechanisms
from attnzoo.attention.base import ScoredLayer, check_positive
from attnzoo.layers.convolution import FeatureMapAttention, Norm, normalization
from attnzoo.layers.dropout import StochasticDepth


@keras.saving.register_keras_serializable("attnzoo")
class ResidualBlock(ScoredLayer):
    """Pre-activation residual block with two 3 x 3 convolutions.

        y = s + drop(gate(W_2 * relu(norm_2(W_1 * h))))        h = relu(norm_1(x))

    where the shortcut s is x or, if the width or the size changes, W_s h after average pooling by the stride.

    Args:
        width: number of output channels, 1 or more.
        stride: 1, or 2 to halve the map, rounded up.
        norm: normalization, see `normalization`.
        gate: options or name of an attention mechanism that is a `Gate`, at the end of the branch; or None.
        drop_path: fraction of the examples for which the branch is skipped in training, in [0, 1).
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: <float>[batch, height, width, channels].
        training: whether batch normalization updates its averages and branches are skipped.
        return_attention_scores: also return the attention weights of the gate.

    Returns:
        <float>[batch, height / stride, width / stride, width], rounded up; with `return_attention_scores`
        also the attention weights of the gate.

    Raises:
        ValueError: `width` below 1, `stride` other than 1 and 2, an unknown `norm`, `drop_path` outside
            [0, 1).

    Reference: He et al. 2016, https://arxiv.org/abs/1603.05027

    Examples:
        >>> block = ResidualBlock(width=16, stride=2, gate="squeeze_excitation")
        >>> block(keras.random.normal([2, 28, 28, 8])).shape
        TensorShape([2, 14, 14, 16])
    """

    def __init__(
        self,
        width: int,
        stride: int = 1,
        norm: Norm = "batch",
        gate: mechanisms.Options | None = None,
        drop_path: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width = check_positive("width", width)
        if stride not in (1, 2):
            raise ValueError(f"`stride` must be 1 or 2. Received: stride={stride}")
        self.stride = stride
        self.norm = norm
        self._gate_options = None if gate is None else mechanisms.parse(gate).model_dump()
        self.drop_path = StochasticDepth(drop_path, name="drop_path", dtype=self.dtype_policy)
        self.convolutions = [
            self._convolution(3, stride, "conv_0"),
            self._convolution(3, 1, "conv_1"),
        ]
        self.attention = (
            None
            if gate is None
            else FeatureMapAttention(width, gate, residual=False, name="attention", dtype=self.dtype_policy)
        )

    @property
    def weighs_positions(self) -> bool:
        """Whether there is a gate that weights positions."""
        return self.attention is not None and self.attention.weighs_positions

    def _convolution(self, size: int, stride: int, name: str) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            self.width,
            size,
            stride,
            padding="same",
            use_bias=self.norm == "none",
            kernel_initializer="he_normal",
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, inputs_shape):
        """Builds the sublayers."""
        channels = inputs_shape[-1]
        inner = (*inputs_shape[:-1], self.width)
        self.norms = [
            normalization(self.norm, size, name=f"norm_{index}", dtype=self.dtype_policy)
            for index, size in enumerate((channels, self.width))
        ]
        self.norms[0].build(inputs_shape)
        self.norms[1].build(inner)
        self.convolutions[0].build(inputs_shape)
        self.convolutions[1].build(inner)
        changes = self.stride > 1 or channels != self.width
        self.shortcut = self._convolution(1, 1, "shortcut") if changes else None
        if self.shortcut is not None:
            self.shortcut.build(inputs_shape)
        if self.attention is not None:
            self.attention.build(inner)
        self.drop_path.build(inner)
        self.built = True

    def call(self, inputs, *, training=None, return_attention_scores=False):
        """Applies the block."""
        hidden = keras.ops.relu(self.norms[0](inputs, training=training))
        shortcut = inputs
        if self.shortcut is not None:
            shortcut = hidden
            if self.stride > 1:
                shortcut = keras.ops.average_pool(shortcut, self.stride, self.stride, padding="same")
            shortcut = self.shortcut(shortcut)
        branch = self.convolutions[0](hidden)
        branch = self.convolutions[1](keras.ops.relu(self.norms[1](branch, training=training)))
        attention_weights = None
        if self.attention is not None:
            branch = self.attention(
                branch, training=training, return_attention_scores=return_attention_scores
            )
            branch, attention_weights = branch if return_attention_scores else (branch, None)
        outputs = shortcut + self.drop_path(branch, training=training)
        return (outputs, attention_weights) if return_attention_scores else outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "stride": self.stride,
            "norm": self.norm,
            "gate": self._gate_options,
            "drop_path": self.drop_path.rate,
        }
