"""Recurrent encoder-decoder with attention that translates a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, parse
from attnzoo.config.sections import PositiveInt, Rate, Section
from attnzoo.features.info import DataInfo

if TYPE_CHECKING:
    import keras

TASK = "translation"


class Config(Section):
    """Options of the recurrent translation model."""

    name: Literal["translation_rnn"] = "translation_rnn"
    units: PositiveInt = Field(256, description="Model width; even.")
    num_encoder_layers: PositiveInt = Field(1, description="Bidirectional layers that read the source.")
    num_decoder_layers: PositiveInt = Field(1, description="Layers that write the target.")
    cell: Literal["gru", "lstm"] = Field("gru", description="Recurrent cell.")
    attention: AttentionOptions = Field(
        parse("additive"), description="How the decoder looks at the source; dot_product is Luong's."
    )
    input_feeding: bool = Field(True, description="What was attended to enters the next step.")
    dropout: Rate = Field(0.2, description="Fraction of activations dropped in training, 0 to 1.")
    share_embeddings: bool = Field(
        False, description="One table for source and target; needs one vocabulary."
    )
    tie_output: bool = Field(True, description="The target table also gives the output logits.")


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"source": <int32>[batch, source], "target": <int32>[batch, target]} -> logits.

    Args:
        config: its options.
        info: gives the sizes of both vocabularies.

    Returns:
        A model with logits <float32>[batch, target, vocabulary], its variables made.
    """
    from attnzoo.layers.recurrent_encoder_decoder import RecurrentEncoderDecoder

    return RecurrentEncoderDecoder.built_for(
        {name: info.features[name].vocabulary_size for name in ("source", "target")},
        config.name,
        **config.model_dump(exclude={"name"}),
    )
