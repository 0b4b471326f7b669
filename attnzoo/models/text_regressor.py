"""A text encoder, pooling over time, a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models.text_encoder import PooledOptions, encode_pooled

if TYPE_CHECKING:
    import keras

TASK = "text_regression"


class Config(PooledOptions):
    """Options of the text regressor."""

    name: Literal["text_regressor"] = "text_regressor"


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> standardized numbers <float32>[batch, 1].

    Args:
        config: its options.
        info: gives the vocabulary and the longest text.

    Returns:
        A functional model.
    """
    import keras

    tokens, outputs = encode_pooled(config, info, info.features["label"].num_outputs)
    return keras.Model({"text": tokens}, outputs, name=config.name)
