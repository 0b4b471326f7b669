"""Text classifier: a text encoder, pooling over time, and a dense output layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from attnzoo.config.base import EffectIf
from attnzoo.features.info import DataInfo
from attnzoo.models.text_encoder import PooledOptions, encode_pooled

if TYPE_CHECKING:
    import keras

TASK = "text_classification"


class Config(PooledOptions):
    """Options of the text classifier."""

    name: Literal["text_classifier"] = "text_classifier"
    naive_bayes: int = Field(
        0,
        ge=0,
        le=8,
        description="Maximum length in tokens of the n-grams of a linear classifier with naive "
        "Bayes log-count ratios (NB-SVM), whose output is added to the logits; 0 = none.",
    )
    naive_bayes_buckets: Annotated[
        int, Field(ge=2), EffectIf("naive_bayes is 1 or more", lambda own: own.naive_bayes > 0)
    ] = Field(
        2**22,
        description="Number of hash buckets for the n-grams of naive_bayes; n-grams in the same bucket share "
        "their weights.",
    )


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> logits <float32>[batch, classes].

    Args:
        config: options of the model.
        info: provides the vocabulary size, the classes and the maximum length.

    Returns:
        A functional model.

    Examples:
        >>> from attnzoo.features.label import Label
        >>> from attnzoo.features.text import Text
        >>> features = {"text": Text(vocabulary_size=100), "label": Label(names=("negative", "positive"))}
        >>> info = DataInfo(TASK, features, buckets=({"text": 64},))
        >>> build(Config(units=16), info).output_shape
        (None, 2)
    """
    import keras

    from attnzoo.layers.naive_bayes import NaiveBayesNGrams

    classes = info.features["label"].num_outputs
    tokens, logits = encode_pooled(config, info, classes)
    if config.naive_bayes:
        logits += NaiveBayesNGrams(
            classes,
            config.naive_bayes,
            config.naive_bayes_buckets,
            config.embedding_dropout,
            name="naive_bayes",
        )(tokens)
    return keras.Model({"text": tokens}, logits, name=config.name)
