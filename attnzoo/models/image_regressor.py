"""Image regressor: the layers of the image classifier with a number as output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models import image_classifier

if TYPE_CHECKING:
    import keras

TASK = "image_regression"


class Config(image_classifier.Config):
    """Options of the image regressor."""

    name: Literal["image_regressor"] = "image_regressor"  # type: ignore[assignment]


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"image": <float32>[batch, height, width, channels]} -> numbers <float32>[batch, 1].

    Args:
        config: options of the model.
        info: provides the image shape.

    Returns:
        A functional model that returns standardized numbers.

    Examples:
        >>> from attnzoo.features.image import Image
        >>> from attnzoo.features.number import Number
        >>> image = Image(shape=(28, 28, 1), mean=(0.5,), std=(0.2,))
        >>> info = DataInfo(TASK, {"image": image, "label": Number()})
        >>> build(Config(stages=[[8], [16]]), info).output_shape
        (None, 1)
    """
    return image_classifier.build(config, info)
