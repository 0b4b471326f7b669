"""Recurrent layers that read a sequence from both ends."""

from __future__ import annotations

from typing import Literal

import keras

Cell = Literal["gru", "lstm"]
LAYERS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def both_directions(cell: Cell, units: int, name: str) -> keras.layers.Layer:
    """Returns a layer that reads <float>[batch, time, width] in both directions.

    Args:
        cell: "gru" or "lstm".
        units: width of the output, even: half of it for each direction.
        name: of the layer.

    Returns:
        A layer that takes `mask` <bool>[batch, time] and gives <float>[batch, time, units].

    Raises:
        ValueError: `units` is odd.
    """
    if units % 2:
        raise ValueError(f"`units` must be even: half of them for each direction. Received: units={units}")
    return keras.layers.Bidirectional(
        LAYERS[cell](units // 2, return_sequences=True, name="recurrent"), name=name
    )
