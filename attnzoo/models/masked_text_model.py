"""Masked language model: a text encoder whose weights can initialize other text models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models.text_encoder import EncoderOptions, encode

if TYPE_CHECKING:
    import keras

TASK = "masked_text"


class Config(EncoderOptions):
    """Options of the masked language model."""

    name: Literal["masked_text_model"] = "masked_text_model"


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> <float>[batch, time, units].

    The logits of the masked tokens are the products of the output with the rows of the embedding table.

    Args:
        config: options of the model.
        info: provides the vocabulary size and the maximum length.

    Returns:
        A functional model.

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805

    Examples:
        >>> from attnzoo.features.text import Text
        >>> info = DataInfo(TASK, {"text": Text(vocabulary_size=100)}, buckets=({"text": 64},))
        >>> build(Config(units=16), info).output_shape
        (None, None, 16)
    """
    import keras

    tokens, _, hidden = encode(config, info)
    hidden = keras.layers.Dense(config.units, activation="gelu", name="prediction")(hidden)
    hidden = keras.layers.LayerNormalization(name="prediction_norm")(hidden)
    return keras.Model({"text": tokens}, hidden, name=config.name)
