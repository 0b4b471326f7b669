"""Image classifier: convolutions, attention over the feature map, dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions
from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, within
from attnzoo.features.info import DataInfo
from attnzoo.models.image_encoder import ImageEncoderOptions, encode_image

if TYPE_CHECKING:
    import keras

TASK = "image_classification"


class Config(ImageEncoderOptions):
    """Options of the image classifier."""

    attention_option: ClassVar[str] = "model.attention.name=spatial"

    name: Literal["image_classifier"] = "image_classifier"
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

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields attention that the channels of its map do not suit."""
        yield from super().problems(config)
        if self.attention is not None:
            yield from within(("attention",), self.attention.problems(self.channels()[-1]))


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
    hidden = encode_image(image, config)[-1]

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
