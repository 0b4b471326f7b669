"""Recurrent encoder-decoder with attention for translation."""

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
    """Options of the recurrent translation model."""

    name: Literal["translation_rnn"] = "translation_rnn"
    units: PositiveInt = Field(256, description="Width of the model, an even number.")
    num_encoder_layers: PositiveInt = Field(1, description="Number of bidirectional encoder layers.")
    num_decoder_layers: PositiveInt = Field(1, description="Number of decoder layers.")
    cell: Literal["gru", "lstm"] = Field("gru", description="Recurrent cell.")
    attention: AttentionOptions = Field(
        parse("additive"),
        description="Attention of the decoder over the source: additive is Bahdanau's, dot_product Luong's.",
    )
    input_feeding: bool = Field(
        True,
        description="Input feeding (Luong): the attentional vector of a step is an input of the next step.",
    )
    dropout: Rate = Field(
        0.2, description="Dropout rate of embeddings, encoder outputs and attentional vectors."
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that does not suit the decoder, and an odd width."""
        yield from super().problems(config)
        yield from within(("attention",), memory_problems(self.attention, self.units, causal=False))
        if self.units % 2:
            what = f"expected an even number, half for each direction of the encoder; received {self.units}"
            yield ("units",), what

    def unused(self) -> Iterator[Problem]:
        """Yields options of attention within one sequence."""
        kept = parse(self.attention.for_cross_attention()).model_dump()
        for key, value in self.attention.model_dump().items():
            if key not in kept or (kept[key] != value and key != "name"):
                yield ("attention", key), "this model only has cross-attention"


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
        >>> model = build(Config(units=16, attention="dot_product"), info)
        >>> model.source_embedding.embeddings.shape
        TensorShape([100, 16])
    """
    from attnzoo.layers.recurrent_encoder_decoder import RecurrentEncoderDecoder

    return RecurrentEncoderDecoder.from_vocabulary_sizes(
        {name: info.features[name].vocabulary_size for name in ("source", "target")},
        config.name,
        **config.model_dump(exclude={"name"}),
    )
