"""Convolutions, attention over the positions of the feature map, dense layers, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions
from attnzoo.attention.options import GateOptions
from attnzoo.config.sections import PositiveInt, Rate, Section
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
        description="A gate (squeeze_excitation, cbam, spatial) is in every block; any other attention is "
        "over the positions of the map, after the last block.",
    )


class Config(Section):
    """Options of the image classifier."""

    name: Literal["image_classifier"] = "image_classifier"
    stages: Annotated[list[list[PositiveInt] | ResidualStage], Field(min_length=1)] = Field(
        [[32, 32], [64, 64]],
        description="Each a list, the channels of 3x3 convolutions that a 2x2 max pooling ends, or a stage "
        "of residual blocks, {width: 64, depth: 2, stride: 2, attention: cbam}.",
    )
    norm: Literal["batch", "group", "none"] = Field(
        "batch", description="Normalization beside each convolution: over the batch, or within each image."
    )
    drop_path: Rate = Field(
        0.0,
        description="Stochastic depth: fraction of the images for which the last residual block is left out "
        "in training; less for those before it.",
    )
    attention: AttentionOptions | None = Field(
        None, description="Attention over the positions of the last feature map."
    )
    residual: bool = Field(
        True, description="Residual connection: the feature map is added to the output of the attention."
    )
    pooling: Literal["flatten", "mean", "attention"] = Field(
        "flatten", description="How the feature map becomes one vector."
    )
    dense_units: list[PositiveInt] = Field([], description="Widths of hidden layers before the classes.")
    dropout: Rate = Field(0.1, description="Fraction of activations dropped before the dense layers, 0 to 1.")


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"image": <float32>[batch, height, width, channels]} -> logits.

    Args:
        config: its options.
        info: gives the image shape and the classes.

    Returns:
        A functional model with logits <float32>[batch, classes].
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
    """Applies the stages; a stem of one convolution is before residual ones."""
    import keras

    from attnzoo.layers.convolution import ConvStage, FeatureMapAttention, normalization
    from attnzoo.layers.dropout import StochasticDepth
    from attnzoo.layers.residual import ResidualBlock

    hidden, done = image, 0
    total = sum(stage.depth for stage in config.stages if isinstance(stage, ResidualStage))
    for number, stage in enumerate(config.stages):
        name = f"stage_{number}"
        if not isinstance(stage, ResidualStage):
            hidden = ConvStage(stage, config.norm, name=name)(hidden)
            continue
        if not done:
            stem = keras.layers.Conv2D(stage.width, 3, padding="same", use_bias=False, name="stem")
            hidden = stem(hidden)
        gate = stage.attention if isinstance(stage.attention, GateOptions) else None
        for index in range(stage.depth):
            done += 1
            hidden = ResidualBlock(
                stage.width,
                stage.stride if index == 0 else 1,
                config.norm,
                gate,
                config.drop_path * done / total,
                name=f"{name}_block_{index}",
            )(hidden)
        if stage.attention is not None and gate is None:
            attention = FeatureMapAttention(stage.width, stage.attention, False, name=f"{name}_attention")
            attended = attention(normalization(config.norm, stage.width, name=f"{name}_norm")(hidden))
            hidden += StochasticDepth(config.drop_path * done / total, name=f"{name}_drop_path")(attended)
    if isinstance(config.stages[-1], ResidualStage):
        hidden = normalization(config.norm, hidden.shape[-1], name="norm")(hidden)
        hidden = keras.layers.ReLU(name="relu")(hidden)
    return hidden
