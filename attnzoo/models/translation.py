"""Transformer encoder-decoder that translates a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, memory_problems, parse
from attnzoo.config.base import PositiveInt, Problem, Rate, within
from attnzoo.features.info import DataInfo
from attnzoo.models.sequence_options import SequenceToSequenceOptions

if TYPE_CHECKING:
    import keras

TASK = "translation"


class Config(SequenceToSequenceOptions):
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

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that does not suit the decoder."""
        yield from super().problems(config)
        yield from within(("attention",), memory_problems(self.attention, self.units, causal=True))


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
