"""Multi-label text classifier: the layers of the text classifier, with a sigmoid per label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnzoo.features.info import DataInfo
from attnzoo.models import text_classifier

if TYPE_CHECKING:
    import keras

TASK = "multi_label_classification"


class Config(text_classifier.Config):
    """Options of the multi-label text classifier."""

    name: Literal["multi_label_text_classifier"] = "multi_label_text_classifier"  # type: ignore[assignment]


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> logits <float32>[batch, labels] of sigmoids.

    Args:
        config: options of the model.
        info: provides the vocabulary size, the labels and the maximum length.

    Returns:
        A functional model.

    Examples:
        >>> from attnzoo.features.labels import Labels
        >>> from attnzoo.features.text import Text
        >>> features = {"text": Text(vocabulary_size=100), "label": Labels(names=("sports", "news"))}
        >>> info = DataInfo(TASK, features, buckets=({"text": 64},))
        >>> build(Config(units=16), info).output_shape
        (None, 2)
    """
    return text_classifier.build(config, info)
