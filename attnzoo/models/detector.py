"""Detector: convolutions, a feature pyramid with attention at each level, and an anchor-free head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, parse
from attnzoo.attention.options import GateOptions
from attnzoo.config.base import PositiveInt, Problem, within
from attnzoo.features.info import DataInfo
from attnzoo.models.image_encoder import ImageEncoderOptions, ResidualStage, encode_image

if TYPE_CHECKING:
    import keras

TASK = "detection"


class PyramidOptions(ImageEncoderOptions):
    """Options of an image encoder with a feature pyramid.

    Attributes:
        suppresses: whether several candidates predict one object, so that all but one are dropped.
    """

    attention_option: ClassVar[str] = "model.attention.name=spatial"
    suppresses: ClassVar[bool] = True

    @property
    def max_objects(self) -> dict[str, int]:
        """Options that limit the objects that are found in an image, by name."""
        return {}

    stages: Annotated[
        list[Annotated[list[PositiveInt], Field(min_length=1)] | ResidualStage], Field(min_length=1)
    ] = Field(
        [
            [16],
            [32],
            ResidualStage(width=64, depth=1, stride=2),
            ResidualStage(width=96, depth=1, stride=2),
            ResidualStage(width=128, depth=1, stride=2),
        ],
        description="Each stage is either a list of channels of 3x3 convolutions, followed by 2x2 max "
        "pooling, or residual blocks such as {width: 64, depth: 2, stride: 2, attention: cbam}.",
    )
    strides: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [8, 16, 32],
        description="Levels of the feature pyramid: pixels from one position of the map to the next, each "
        "twice the one before. Small objects need a small first one: about half their size.",
    )
    pyramid_units: PositiveInt = Field(64, description="Number of channels of each level of the pyramid.")
    attention: AttentionOptions | None = Field(
        parse("spatial"),
        description="Attention at each level of the pyramid: a gate (spatial, squeeze_excitation, cbam), or "
        "attention over the positions, such as {name: multi_head, position: relative}. null: none.",
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields strides that the stages do not have, and attention that the channels do not suit."""
        yield from super().problems(config)
        if self.attention is not None:
            yield from within(("attention",), self.attention.problems(self.pyramid_units))
        first, known = self.strides[0], sorted(set(self.strides_of_stages()))
        if first not in known:
            shown = ", ".join(map(str, known))
            yield ("strides",), f"no stage has a map of stride {first}; those of model.stages have {shown}"
        elif self.strides != [first * 2**index for index in range(len(self.strides))]:
            what = f"expected each twice the one before, such as {[first, 2 * first, 4 * first]}"
            yield ("strides",), f"{what}; received {self.strides}"


class Config(PyramidOptions):
    """Options of the detector."""

    name: Literal["detector"] = "detector"
    head_depth: Annotated[int, Field(ge=0)] = Field(
        2,
        description="Number of 3x3 convolutions before the classes, and as many before the boxes; all levels "
        "share them.",
    )


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"image": <float32>[batch, height, width, channels]} -> boxes and logits.

    Args:
        config: options of the model.
        info: provides the image shape and the classes.

    Returns:
        A functional model with `boxes` <float32>[batch, candidates, 4] in fractions of the canvas and
        `logits` <float32>[batch, candidates, classes].

    Examples:
        >>> from attnzoo.features.boxes import Boxes
        >>> from attnzoo.features.image import Image
        >>> features = {"image": Image(shape=(32, 48, 3)), "boxes": Boxes(names=("cat", "dog"))}
        >>> options = {"stages": [[4], [8], [8]], "strides": [8, 16], "pyramid_units": 8}
        >>> model = build(Config(**options), DataInfo(TASK, features))
        >>> model.output["boxes"].shape, model.output["logits"].shape  # 4 x 6 and 2 x 3 positions
        ((None, 30, 4), (None, 30, 2))
    """
    import keras

    from attnzoo.layers.detection_head import AnchorFreeHead

    shape = info.features["image"].shape
    image = keras.Input(shape, name="image")
    levels = build_pyramid(image, config)
    head = AnchorFreeHead(
        len(info.features["boxes"].names),
        shape[:2],
        config.strides,
        config.pyramid_units,
        config.head_depth,
        name="head",
    )
    return keras.Model({"image": image}, head(levels), name=config.name)


def build_pyramid(
    image: keras.KerasTensor, config: PyramidOptions, num_outputs: int | None = None
) -> list[keras.KerasTensor]:
    """Applies the stages, the feature pyramid, and the attention at each of its levels.

    Args:
        image: <float32>[batch, height, width, channels].
        config: options of the model.
        num_outputs: number of levels, finest first; None for all.

    Returns:
        The map <float>[batch, height, width, pyramid_units] of each level, finest first.
    """
    from attnzoo.layers.convolution import FeatureMapAttention
    from attnzoo.layers.feature_pyramid import FeaturePyramid

    # The last map of each stride sees most.
    by_stride = dict(zip(config.strides_of_stages(), encode_image(image, config), strict=True))
    maps = [by_stride[stride] for stride in config.strides if stride in by_stride]
    pyramid = FeaturePyramid(config.pyramid_units, len(config.strides), num_outputs, name="pyramid")
    levels = pyramid(maps)
    if config.attention is None:
        return levels
    is_gate = isinstance(config.attention, GateOptions)
    return [
        FeatureMapAttention(
            config.pyramid_units, config.attention, residual=not is_gate, name=f"attention_{stride}"
        )(level)
        for stride, level in zip(config.strides, levels, strict=False)
    ]
