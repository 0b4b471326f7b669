"""Convolutions, attention over the positions of the feature map, dense layers, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from attnzoo.attention.options import AttentionOptions
from attnzoo.config.sections import PositiveInt, Rate, Section
from attnzoo.info import IMAGE_CLASSIFICATION, DataInfo

if TYPE_CHECKING:
    import keras

TASK = IMAGE_CLASSIFICATION


class Config(Section):
    """Options of the image classifier."""

    name: Literal["image_classifier"] = "image_classifier"
    stages: Annotated[list[list[PositiveInt]], Field(min_length=1)] = Field(
        [[32, 32], [64, 64]],
        description="Channels of the 3x3 convolutions of each stage; a 2x2 max pooling ends a stage.",
    )
    batch_norm: bool = Field(True, description="Batch normalisation after each convolution.")
    attention: AttentionOptions | None = Field(
        None, description="Attention over the positions of the last feature map."
    )
    residual: bool = Field(True, description="Add the feature map to what attention makes of it.")
    pooling: Literal["flatten", "mean", "attention"] = Field(
        "flatten", description="From the feature map to one vector."
    )
    dense_units: list[PositiveInt] = Field([], description="Widths of hidden layers before the classes.")
    dropout: Rate = Field(0.1, description="Share of activations dropped before the dense layers, 0 to 1.")


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
    from attnzoo.layers.convolution import ConvStage, FeatureMapAttention
    from attnzoo.layers.dropout import Dropout

    # Convolutions
    image = keras.Input(info.image_shape, name="image")
    hidden = image
    for number, channels in enumerate(config.stages):
        hidden = ConvStage(channels, batch_norm=config.batch_norm, name=f"stage_{number}")(hidden)

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
    logits = keras.layers.Dense(info.num_classes, dtype="float32", name="logits")(hidden)
    return keras.Model({"image": image}, logits, name=config.name)
