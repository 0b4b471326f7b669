"""Recurrent encoder-decoder with attention that translates a text."""

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

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that does not suit the decoder, and an odd width."""
        yield from super().problems(config)
        yield from within(("attention",), memory_problems(self.attention, self.units, causal=False))
        if self.units % 2:
            what = f"expected an even number, half for each direction of the encoder; received {self.units}"
            yield ("units",), what

    def unused(self) -> Iterator[Problem]:
        """Yields options of attention within one sequence."""
        kept = parse(self.attention.across()).model_dump()
        for key, value in self.attention.model_dump().items():
            if key not in kept or (kept[key] != value and key != "name"):
                yield ("attention", key), "this model attends to another sequence alone"


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
