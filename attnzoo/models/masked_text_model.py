"""A text encoder that learns to fill in masked tokens: the beginning of other models of the same texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models.text_encoder import EncoderOptions, encode

if TYPE_CHECKING:
    import keras

TASK = "masked_text"


class Config(EncoderOptions):
    """Options of the masked text model."""

    name: Literal["masked_text_model"] = "masked_text_model"


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> <float>[batch, time, units].

    The products of an output with the rows of the table of embeddings are the logits of its token.

    Args:
        config: its options.
        info: gives the vocabulary and the longest text.

    Returns:
        A functional model.

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805
    """
    import keras

    tokens, _, hidden = encode(config, info)
    hidden = keras.layers.Dense(config.units, activation="gelu", name="prediction")(hidden)
    hidden = keras.layers.LayerNormalization(name="prediction_norm")(hidden)
    return keras.Model({"text": tokens}, hidden, name=config.name)
