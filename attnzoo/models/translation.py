"""Transformer encoder-decoder for translation."""

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
    num_encoder_layers: PositiveInt = Field(2, description="Number of encoder blocks.")
    num_decoder_layers: PositiveInt = Field(2, description="Number of decoder blocks.")
    feed_forward_units: PositiveInt = Field(512, description="Hidden width of the feed-forward networks.")
    attention: AttentionOptions = Field(
        parse("multi_head"), description="Attention mechanism of all encoder and decoder blocks."
    )
    position: Literal["sinusoidal", "none"] = Field(
        "sinusoidal",
        description="Position encoding added to the token embeddings; none if the attention has its own "
        "(model.attention.position).",
    )
    dropout: Rate = Field(0.1, description="Dropout rate of embeddings and sublayers.")
    feed_forward_dropout: Rate | None = Field(
        None, description="Dropout rate inside the feed-forward networks. Default: as dropout."
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="Layer normalization before (pre) or after (post) each sublayer."
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that does not suit the decoder."""
        yield from super().problems(config)
        yield from within(("attention",), memory_problems(self.attention, self.units, causal=True))


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"source": <int32>[batch, source], "target": <int32>[batch, target]} -> logits.

    Args:
        config: options of the model.
        info: provides the sizes of both vocabularies.

    Returns:
        A built model with logits <float32>[batch, target, vocabulary].

    Examples:
        >>> from attnzoo.features.text import Text
        >>> features = {name: Text(ends=True, vocabulary_size=100) for name in ("source", "target")}
        >>> info = DataInfo(TASK, features, buckets=({"source": 64, "target": 64},))
        >>> model = build(Config(units=16, attention="linear"), info)
        >>> model.source_embedding.embeddings.shape
        TensorShape([100, 16])
    """
    from attnzoo.layers.encoder_decoder import EncoderDecoder

    return EncoderDecoder.from_vocabulary_sizes(
        {name: info.features[name].vocabulary_size for name in ("source", "target")},
        config.name,
        **config.model_dump(exclude={"name"}),
    )
