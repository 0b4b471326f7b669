"""Text regressor: a text encoder, pooling over time, and a number as output."""

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
        config: options of the model.
        info: provides the vocabulary size and the maximum length.

    Returns:
        A functional model.

    Examples:
        >>> from attnzoo.features.number import Number
        >>> from attnzoo.features.text import Text
        >>> features = {"text": Text(vocabulary_size=100), "label": Number()}
        >>> info = DataInfo(TASK, features, buckets=({"text": 64},))
        >>> build(Config(units=16), info).output_shape
        (None, 1)
    """
    import keras

    tokens, outputs = encode_pooled(config, info, info.features["label"].num_outputs)
    return keras.Model({"text": tokens}, outputs, name=config.name)
