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
    units: PositiveInt = Field(256, description="Width of the model, an even number.")
    num_encoder_layers: PositiveInt = Field(
        1, description="Number of bidirectional layers that read the source."
    )
    num_decoder_layers: PositiveInt = Field(1, description="Number of layers that write the target.")
    cell: Literal["gru", "lstm"] = Field("gru", description="Recurrent cell.")
    attention: AttentionOptions = Field(
        parse("additive"),
        description="Attention of the decoder over the source: additive is Bahdanau's, dot_product Luong's.",
    )
    input_feeding: bool = Field(
        True, description="Input feeding (Luong): what was attended to at one step is an input of the next."
    )
    dropout: Rate = Field(0.2, description="Fraction of activations dropped in training, 0 to 1.")
    share_embeddings: bool = Field(
        False, description="Source and target share one embedding table; needs data.shared_vocabulary: true."
    )
    tie_output: bool = Field(
        True, description="The output layer uses the embedding table of the target (tied weights)."
    )


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
