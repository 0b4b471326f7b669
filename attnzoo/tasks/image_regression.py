"""Image regression: an image in, a number out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.number import Number
from attnzoo.features.weight import Weight
from attnzoo.tasks.one_target import OneImageTask
from attnzoo.tasks.regressor import RegressionTask


class ImageRegression(OneImageTask, RegressionTask):
    """An image in, a number out."""

    name: ClassVar[str] = "image_regression"
    features: ClassVar[Mapping[str, Feature]] = {"image": Image(), "label": Number(), "weight": Weight()}
