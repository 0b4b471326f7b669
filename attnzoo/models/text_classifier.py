"""A text encoder, pooling over time, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from attnzoo.config.sections import PositiveInt
from attnzoo.info import TEXT_CLASSIFICATION, DataInfo
from attnzoo.models.text_encoder import EncoderOptions, encode

if TYPE_CHECKING:
    import keras

TASK = TEXT_CLASSIFICATION


class Config(EncoderOptions):
    """Options of the text classifier."""

    name: Literal["text_classifier"] = "text_classifier"
    pooling: Literal["attention", "mean", "max"] = Field(
        "attention", description="From all positions to one vector."
    )
    pooling_hidden_units: int = Field(
        0, ge=0, description="attention: width of the tanh layer that scores a position; 0 = a linear score."
    )
    naive_bayes: int = Field(
        0,
        ge=0,
        le=8,
        description="Most tokens of the n-grams whose log-count ratios, counted in train, feed a linear "
        "classifier that is added to the logits (NB-SVM); 0 = none.",
    )
    naive_bayes_buckets: int = Field(
        2**22, ge=2, description="Rows of its table; n-grams with the same hash share one."
    )
    batch_norm: bool = Field(False, description="Batch normalisation of the pooled vector.")
    dense_units: list[PositiveInt] = Field([], description="Widths of hidden layers before the classes.")


def build(config: Config, info: DataInfo) -> keras.Model:
    """Builds the model: {"text": <int32>[batch, time]} -> logits <float32>[batch, classes].

    Args:
        config: its options.
        info: gives the vocabulary, the classes and the longest text.

    Returns:
        A functional model.
    """
    import keras

    from attnzoo.layers.dropout import Dropout
    from attnzoo.layers.naive_bayes import NaiveBayesNGrams

    tokens, padding_mask, hidden = encode(config, info)
    pooled = _pool(hidden, padding_mask, config)  # [batch, units]
    if config.batch_norm:
        pooled = keras.layers.BatchNormalization(momentum=0.9, name="batch_norm")(pooled)
    for number, units in enumerate(config.dense_units):
        pooled = keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(pooled)
    pooled = Dropout(config.dropout, name="dropout")(pooled)
    logits = keras.layers.Dense(info.num_classes, dtype="float32", name="logits")(pooled)
    if config.naive_bayes:
        logits += NaiveBayesNGrams(
            info.num_classes,
            config.naive_bayes,
            config.naive_bayes_buckets,
            config.embedding_dropout,
            name="naive_bayes",
        )(tokens)
    return keras.Model({"text": tokens}, logits, name=config.name)


def _pool(hidden, padding_mask, config: Config):
    import keras

    from attnzoo.attention import AttentionPooling
    from attnzoo.layers.windows import WindowPooling

    kind = config.pooling
    if config.window and kind != "attention":
        raise ValueError(f"`window` goes with pooling: attention. Received: pooling={kind}")
    hidden_units = config.pooling_hidden_units
    if config.window:
        pooling = WindowPooling(config.window, hidden_units, name="pooling")
        return pooling(hidden, padding_mask=padding_mask)
    if kind == "attention":
        return AttentionPooling(hidden_units, name="pooling")(hidden, padding_mask=padding_mask)
    mask = keras.ops.expand_dims(padding_mask, -1)  # [batch, time, 1]
    if kind == "max":
        lowest = keras.ops.full_like(hidden, -6e4)
        return keras.ops.max(keras.ops.where(mask, hidden, lowest), axis=1)
    weights = keras.ops.cast(mask, "float32")
    total = keras.ops.sum(keras.ops.cast(hidden, "float32") * weights, axis=1)
    return total / keras.ops.maximum(keras.ops.sum(weights, axis=1), 1.0)
