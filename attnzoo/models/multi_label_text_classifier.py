"""The text classifier for any number of labels a text, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models import text_classifier

if TYPE_CHECKING:
    import keras

TASK = "multi_label_classification"


class Config(text_classifier.Config):
    """Options of the text classifier."""

    name: Literal["multi_label_text_classifier"] = "multi_label_text_classifier"  # type: ignore[assignment]


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> logits <float32>[batch, classes], one a sigmoid.

    Args:
        config: its options.
        info: gives the vocabulary, the classes and the longest text.

    Returns:
        A functional model.
    """
    return text_classifier.build(config, info)
