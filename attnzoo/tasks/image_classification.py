"""Image classification: an image in, one label out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.label import Label
from attnzoo.features.weight import Weight
from attnzoo.tasks.classifier import ClassifierTask
from attnzoo.tasks.one_target import OneImageTask


class ImageClassification(OneImageTask, ClassifierTask):
    """An image in, one label out."""

    name: ClassVar[str] = "image_classification"
    features: ClassVar[Mapping[str, Feature]] = {"image": Image(), "label": Label(), "weight": Weight()}
