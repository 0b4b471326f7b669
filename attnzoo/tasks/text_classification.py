"""Text classification: text in, one label out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from etils import epy

from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.tasks.classifier import ClassifierTask
from attnzoo.tasks.one_target import OneTextTask

with epy.lazy_imports():
    import keras

    from attnzoo.explain import text as text_view


class TextClassification(OneTextTask, ClassifierTask):
    """Text in, one label out."""

    name: ClassVar[str] = "text_classification"
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "label": Label(), "weight": Weight()}

    def text_view(self, model: keras.Model, info: DataInfo, layer: str | None) -> text_view.TextView:
        """Returns a view that can also measure whether predictions depend on the attended tokens."""
        return text_view.ClassifierTextView(model, info, layer)
