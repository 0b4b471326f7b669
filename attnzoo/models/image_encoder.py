"""The image encoder that the image models share: stages of convolutions, with the feature map of each."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions
from attnzoo.attention.options import GateOptions
from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, Section, within
from attnzoo.config.sections import ModelOptions

if TYPE_CHECKING:
    import keras


class ResidualStage(Section):
    """Residual blocks of one width."""

    width: PositiveInt = Field(description="Number of channels.")
    depth: PositiveInt = Field(2, description="Number of residual blocks, of two 3x3 convolutions each.")
    stride: Literal[1, 2] = Field(
        1, description="Stride of the first block: 2 halves height and width of the feature map."
    )
    attention: AttentionOptions | None = Field(
        None,
        description="Attention mechanism. A gate (squeeze_excitation, cbam, spatial) is applied in every "
        "block; any other mechanism attends over the positions of the feature map after the last block. "
        "Default: none.",
    )

    def problems(self) -> Iterator[Problem]:
        """Yields an attention that the width does not suit."""
        if self.attention is not None:
            yield from within(("attention",), self.attention.problems(self.width))


class ImageEncoderOptions(ModelOptions):
    """Options of the image encoder."""

    stages: Annotated[
        list[Annotated[list[PositiveInt], Field(min_length=1)] | ResidualStage], Field(min_length=1)
    ] = Field(
        [[32, 32], [64, 64]],
        description="Each stage is either a list of channels of 3x3 convolutions, followed by 2x2 max "
        "pooling, or residual blocks such as {width: 64, depth: 2, stride: 2, attention: cbam}.",
    )
    norm: Literal["batch", "group", "none"] = Field(
        "batch",
        description="Normalization of each convolution: batch normalization, group normalization, or none.",
    )
    drop_path: Annotated[
        Rate, EffectIf("stages has residual blocks", lambda own: any(own.residual_stages()))
    ] = Field(
        0.0,
        description="Stochastic depth: fraction of the images for which the last residual block is skipped "
        "in training; it decreases linearly towards the first block.",
    )

    def residual_stages(self) -> Iterator[ResidualStage]:
        """Yields the stages of residual blocks."""
        return (stage for stage in self.stages if isinstance(stage, ResidualStage))

    def channels(self) -> list[int]:
        """Returns the number of channels after each stage."""
        return [stage.width if isinstance(stage, ResidualStage) else stage[-1] for stage in self.stages]

    def strides_of_stages(self) -> list[int]:
        """Returns after each stage the number of pixels from one position to the next."""
        factors = (stage.stride if isinstance(stage, ResidualStage) else 2 for stage in self.stages)
        return list(itertools.accumulate(factors, operator.mul))

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields attention that the channels of its stage do not suit."""
        yield from super().problems(config)
        for number, stage in enumerate(self.stages):
            if isinstance(stage, ResidualStage):
                yield from within(("stages", number), stage.problems())


def encode_image(image: keras.KerasTensor, config: ImageEncoderOptions) -> list[keras.KerasTensor]:
    """Applies the stages, and a stem convolution before the first residual block.

    Args:
        image: <float32>[batch, height, width, channels].
        config: options of the stages.

    Returns:
        The feature map <float>[batch, height, width, channels] after each stage. Blocks end without an
        activation: the last map is normalized and rectified, those before are what the next stage takes.
    """
    import keras

    from attnzoo.layers.convolution import ConvStage, FeatureMapAttention, normalization
    from attnzoo.layers.dropout import StochasticDepth
    from attnzoo.layers.residual import ResidualBlock

    hidden, num_blocks, maps = image, 0, []
    total_blocks = sum(stage.depth for stage in config.residual_stages())
    for number, stage in enumerate(config.stages):
        name = f"stage_{number}"
        if not isinstance(stage, ResidualStage):
            hidden = ConvStage(stage, config.norm, name=name)(hidden)
            maps.append(hidden)
            continue
        if not num_blocks:
            stem = keras.layers.Conv2D(stage.width, 3, padding="same", use_bias=False, name="stem")
            hidden = stem(hidden)
        gate = stage.attention if isinstance(stage.attention, GateOptions) else None
        for index in range(stage.depth):
            num_blocks += 1
            hidden = ResidualBlock(
                stage.width,
                stage.stride if index == 0 else 1,
                config.norm,
                gate,
                config.drop_path * num_blocks / total_blocks,
                name=f"{name}_block_{index}",
            )(hidden)
        if stage.attention is not None and gate is None:
            attention = FeatureMapAttention(stage.width, stage.attention, False, name=f"{name}_attention")
            outputs = attention(normalization(config.norm, stage.width, name=f"{name}_norm")(hidden))
            rate = config.drop_path * num_blocks / total_blocks
            hidden += StochasticDepth(rate, name=f"{name}_drop_path")(outputs)
        maps.append(hidden)
    if isinstance(config.stages[-1], ResidualStage):
        hidden = normalization(config.norm, hidden.shape[-1], name="norm")(hidden)
        maps[-1] = keras.layers.ReLU(name="relu")(hidden)
    return maps
