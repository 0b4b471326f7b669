"""The image classifier's convolutions, attention and dense layers, for a number in place of classes."""

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
        config: its options.
        info: gives the image shape.

    Returns:
        A functional model that gives standardized numbers.
    """
    return image_classifier.build(config, info)
