"""Image classifier: convolutions, attention over the feature map, dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions
from attnzoo.attention.options import GateOptions
from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, Section, within
from attnzoo.config.sections import ModelOptions
from attnzoo.features.info import DataInfo

if TYPE_CHECKING:
    import keras

TASK = "image_classification"


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


class Config(ModelOptions):
    """Options of the image classifier."""

    name: Literal["image_classifier"] = "image_classifier"
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
    attention: AttentionOptions | None = Field(
        None, description="Attention over the positions of the last feature map. Default: none."
    )
    residual: Annotated[bool, EffectIf("attention is given", lambda own: own.attention is not None)] = Field(
        True, description="Residual connection around the attention over the last feature map."
    )
    pooling: Literal["flatten", "mean", "attention"] = Field(
        "flatten",
        description="How the feature map becomes one vector; attention is a mean with learned weights.",
    )
    dense_units: list[PositiveInt] = Field(
        [], description="Units of each hidden dense layer before the output."
    )
    dropout: Rate = Field(0.1, description="Dropout rate before each dense layer.")

    def residual_stages(self) -> Iterator[ResidualStage]:
        """Yields the stages of residual blocks."""
        return (stage for stage in self.stages if isinstance(stage, ResidualStage))

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields attention that the channels of its map do not suit."""
        yield from super().problems(config)
        for number, stage in enumerate(self.stages):
            if isinstance(stage, ResidualStage):
                yield from within(("stages", number), stage.problems())
        last = self.stages[-1]
        if self.attention is not None:
            channels = last.width if isinstance(last, ResidualStage) else last[-1]
            yield from within(("attention",), self.attention.problems(channels))


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"image": <float32>[batch, height, width, channels]} -> logits.

    Args:
        config: options of the model.
        info: provides the image shape and the classes.

    Returns:
        A functional model with logits <float32>[batch, classes].

    Examples:
        >>> from attnzoo.features.image import Image
        >>> from attnzoo.features.label import Label
        >>> image = Image(shape=(28, 28, 1), mean=(0.5,), std=(0.2,))
        >>> info = DataInfo(TASK, {"image": image, "label": Label(names=("cat", "dog"))})
        >>> build(Config(stages=[[8], [16]], attention="squeeze_excitation"), info).output_shape
        (None, 2)
    """
    import keras

    from attnzoo.attention import AttentionPooling
    from attnzoo.layers.convolution import FeatureMapAttention
    from attnzoo.layers.dropout import Dropout

    image = keras.Input(info.features["image"].shape, name="image")
    hidden = _convolve(image, config)

    # Attention over positions
    if config.attention is not None:
        hidden = FeatureMapAttention(
            hidden.shape[-1], config.attention, residual=config.residual, name="attention"
        )(hidden)

    # Head
    if config.pooling == "attention":
        positions = keras.layers.Reshape([-1, hidden.shape[-1]], name="positions")(hidden)
        hidden = AttentionPooling(name="pooling")(positions)
    elif config.pooling == "mean":
        hidden = keras.layers.GlobalAveragePooling2D(name="pooling")(hidden)
    else:
        hidden = keras.layers.Flatten(name="flatten")(hidden)
    for number, units in enumerate(config.dense_units):
        hidden = Dropout(config.dropout, name=f"dropout_{number}")(hidden)
        hidden = keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(hidden)
    hidden = Dropout(config.dropout, name="dropout")(hidden)
    logits = keras.layers.Dense(info.features["label"].num_outputs, dtype="float32", name="logits")(hidden)
    return keras.Model({"image": image}, logits, name=config.name)


def _convolve(image: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Applies the stages, and a stem convolution before the first residual block."""
    import keras

    from attnzoo.layers.convolution import ConvStage, FeatureMapAttention, normalization
    from attnzoo.layers.dropout import StochasticDepth
    from attnzoo.layers.residual import ResidualBlock

    hidden, num_blocks = image, 0
    total_blocks = sum(stage.depth for stage in config.residual_stages())
    for number, stage in enumerate(config.stages):
        name = f"stage_{number}"
        if not isinstance(stage, ResidualStage):
            hidden = ConvStage(stage, config.norm, name=name)(hidden)
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
    if isinstance(config.stages[-1], ResidualStage):
        hidden = normalization(config.norm, hidden.shape[-1], name="norm")(hidden)
        hidden = keras.layers.ReLU(name="relu")(hidden)
    return hidden
