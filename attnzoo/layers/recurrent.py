"""Bidirectional recurrent layers."""

from __future__ import annotations

from typing import Literal

import keras

Cell = Literal["gru", "lstm"]
LAYERS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def bidirectional(cell: Cell, units: int, name: str) -> keras.layers.Layer:
    """Returns a bidirectional recurrent layer that is the same program on every device.

    It never uses cuDNN's kernels: XLA cannot compile them, and an export that holds one needs a GPU.

    Args:
        cell: "gru" or "lstm".
        units: width of the output, even; each direction has half of it.
        name: name of the layer.

    Returns:
        A layer that maps <float>[batch, time, width] and `mask` <bool>[batch, time] to
        <float>[batch, time, units].

    Raises:
        ValueError: `units` is odd.

    Examples:
        >>> bidirectional("gru", units=16, name="encoder")(keras.random.normal([2, 7, 4])).shape
        TensorShape([2, 7, 16])
    """
    if units % 2:
        raise ValueError(f"`units` must be even, as each direction has half of them. Received: units={units}")
    layer = LAYERS[cell](units // 2, return_sequences=True, use_cudnn=False, name="recurrent")
    return keras.layers.Bidirectional(layer, name=name)
