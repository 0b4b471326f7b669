"""A text encoder, pooling over time, softmax."""

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
        description="Most tokens of the n-grams whose log-count ratios, counted in train, feed a linear "
        "classifier that is added to the logits (NB-SVM); 0 = none.",
    )
    naive_bayes_buckets: Annotated[
        int, Field(ge=2), EffectIf("naive_bayes is 1 or more", lambda own: own.naive_bayes > 0)
    ] = Field(2**22, description="Rows of its table; n-grams with the same hash share one.")


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> logits <float32>[batch, classes].

    Args:
        config: its options.
        info: gives the vocabulary, the classes and the longest text.

    Returns:
        A functional model.
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
