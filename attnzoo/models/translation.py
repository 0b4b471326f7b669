"""Transformer encoder-decoder that translates a text."""

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
    """Options of the translation model."""

    name: Literal["translation"] = "translation"
    units: PositiveInt = Field(128, description="Width of the model.")
    num_encoder_layers: PositiveInt = Field(2, description="Number of encoder blocks, which read the source.")
    num_decoder_layers: PositiveInt = Field(
        2, description="Number of decoder blocks, which write the target."
    )
    feed_forward_units: PositiveInt = Field(
        512, description="Width of the hidden layer in the feed-forward parts."
    )
    attention: AttentionOptions = Field(
        parse("multi_head"), description="Attention layer of all encoder and decoder blocks."
    )
    position: Literal["sinusoidal", "none"] = Field(
        "sinusoidal",
        description="Position embedding that is added to the token embeddings; none where the attention "
        "has positions of its own (model.attention.position).",
    )
    dropout: Rate = Field(0.1, description="Fraction of activations dropped in training, 0 to 1.")
    feed_forward_dropout: Rate | None = Field(
        None, description="Fraction of activations dropped in the feed-forward parts. Default: as dropout."
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="Layer normalization before (pre) or after (post) each part of a block."
    )
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
    from attnzoo.layers.encoder_decoder import EncoderDecoder

    return EncoderDecoder.built_for(
        {name: info.features[name].vocabulary_size for name in ("source", "target")},
        config.name,
        **config.model_dump(exclude={"name"}),
    )
