"""Text in, a number out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attnzoo.features.feature import Feature
from attnzoo.features.number import Number
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.tasks.one_target import OneTextTask
from attnzoo.tasks.regressor import RegressionTask


class TextRegression(OneTextTask, RegressionTask):
    """Text in, a number out."""

    name: ClassVar[str] = "text_regression"
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "label": Number(), "weight": Weight()}
