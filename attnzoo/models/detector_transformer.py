"""Detector by set prediction: a query for each object, which attends to the image, and no suppression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, memory_problems, parse
from attnzoo.config.base import PositiveInt, Problem, Rate, within
from attnzoo.features.info import DataInfo
from attnzoo.models.detector import PyramidOptions, build_pyramid

if TYPE_CHECKING:
    import keras

TASK = "detection"


class Config(PyramidOptions):
    """Options of the detector by set prediction."""

    # SciPy matches queries to objects.
    compiles: ClassVar[bool] = False
    suppresses: ClassVar[bool] = False

    name: Literal["detector_transformer"] = "detector_transformer"
    strides: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [8, 16],
        description="Levels of the feature pyramid: pixels from one position of the map to the next, each "
        "twice the one before. The queries attend to the first.",
    )
    num_queries: PositiveInt = Field(
        64, description="Number of queries: the most objects that are found in an image."
    )
    num_layers: PositiveInt = Field(3, description="Number of decoder blocks.")
    decoder_attention: AttentionOptions = Field(
        parse("multi_head"),
        description="Attention mechanism of the decoder blocks, among queries and from queries to the image.",
    )
    feed_forward_units: PositiveInt = Field(
        256, description="Hidden width of the feed-forward network of each block."
    )
    dropout: Rate = Field(0.0, description="Dropout rate of the sublayers of each block.")

    @property
    def max_objects(self) -> dict[str, int]:
        """The number of queries."""
        return {"num_queries": self.num_queries}

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that does not suit the decoder, and a width that encodings do not suit."""
        yield from super().problems(config)
        problems = memory_problems(self.decoder_attention, self.pyramid_units, causal=False)
        yield from within(("decoder_attention",), problems)
        if self.pyramid_units % 4:
            yield ("pyramid_units",), f"expected a multiple of 4, received {self.pyramid_units}"


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"image": <float32>[batch, height, width, channels]} -> boxes and logits.

    Args:
        config: options of the model.
        info: provides the image shape and the classes.

    Returns:
        A functional model with `boxes` <float32>[batch, queries, 4] in fractions of the canvas and `logits`
        <float32>[batch, queries, classes], and those of all blocks but the last as `auxiliary_boxes` and
        `auxiliary_logits`, with an axis of blocks after the first.

    Examples:
        >>> from attnzoo.features.boxes import Boxes
        >>> from attnzoo.features.image import Image
        >>> features = {"image": Image(shape=(32, 48, 3)), "boxes": Boxes(names=("cat", "dog"))}
        >>> options = {"stages": [[4], [8], [8], [8]], "pyramid_units": 8, "num_queries": 5}
        >>> model = build(Config(**options), DataInfo(TASK, features))
        >>> model.output["boxes"].shape, model.output["logits"].shape
        ((None, 5, 4), (None, 5, 2))
    """
    import keras

    from attnzoo.layers.object_queries import ObjectQueries, QueryBlock
    from attnzoo.layers.set_prediction_head import SetPredictionHead

    image = keras.Input(info.features["image"].shape, name="image")
    (finest,) = build_pyramid(image, config, num_outputs=1)
    boxes, hidden, outputs = ObjectQueries(config.num_queries, name="queries")(finest), None, []
    for index in range(config.num_layers):
        block = QueryBlock(
            config.pyramid_units,
            config.decoder_attention,
            config.feed_forward_units,
            config.dropout,
            name=f"decoder_{index}",
        )
        boxes, hidden = block(boxes, hidden=hidden, maps=finest)
        outputs.append((boxes, hidden))
    head = SetPredictionHead(len(info.features["boxes"].names), config.num_layers, name="head")
    return keras.Model({"image": image}, head(outputs), name=config.name)
