"""Embedding, attention blocks, pooling over time, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from attnzoo.attention.options import AttentionOptions, MultiHeadOptions
from attnzoo.config.sections import PositiveInt, Rate, Section
from attnzoo.info import TEXT_CLASSIFICATION, DataInfo

if TYPE_CHECKING:
    import keras

TASK = TEXT_CLASSIFICATION


class Config(Section):
    """Options of the text classifier."""

    name: Literal["text_classifier"] = "text_classifier"
    units: PositiveInt = Field(128, description="Width of embeddings and blocks.")
    position: Literal["none", "sinusoidal", "learned"] = Field(
        "none", description="What marks the order of tokens."
    )
    ngrams: int = Field(
        1,
        ge=1,
        le=8,
        description="Most tokens of an n-gram: pairs, triples and longer ones have vectors that are added to "
        "those of the tokens they begin with; 1 = tokens alone.",
    )
    ngram_buckets: PositiveInt = Field(
        2**18, description="Vectors of n-grams; those with the same hash share one."
    )
    convolution: PositiveInt | None = Field(
        None,
        description="Tokens that a convolution after the embedding sees at once. Default: no convolution.",
    )
    recurrent: Literal["none", "gru", "lstm"] = Field(
        "none", description="Layer that reads the text in both directions, before the attention blocks."
    )
    window: PositiveInt | None = Field(
        None,
        description="Tokens of a window: blocks see one window at a time, and attention pools the windows of "
        "a text; for long texts. Default: no windows.",
    )
    num_layers: int = Field(1, ge=0, description="Attention blocks.")
    attention: AttentionOptions = Field(MultiHeadOptions(), description="Attention layer of the blocks.")
    feed_forward_units: int = Field(
        0, ge=0, description="Width inside the feed-forward part of a block, 0 = none."
    )
    norm: Literal["pre", "post", "none"] = Field("pre", description="Layer normalisation of each block.")
    residual: bool = Field(True, description="Add the input of a block to its output.")
    pooling: Literal["attention", "mean", "max"] = Field(
        "attention", description="From all positions to one vector."
    )
    batch_norm: bool = Field(False, description="Batch normalisation of the pooled vector.")
    dense_units: list[PositiveInt] = Field([], description="Widths of hidden layers before the classes.")
    dropout: Rate = Field(0.1, description="Share of activations dropped in training, 0 to 1.")
    embedding_dropout: Rate = Field(
        0.0, description="Share of the embeddings' activations dropped in training."
    )


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
    from attnzoo.layers.embedding import TokenEmbedding
    from attnzoo.layers.ngrams import NGramEmbedding
    from attnzoo.layers.recurrent import both_directions
    from attnzoo.layers.transformer import EncoderBlock
    from attnzoo.layers.windows import WindowBlock

    # Embedding
    tokens = keras.Input([None], dtype="int32", name="text")  # [batch, time]
    embedding = TokenEmbedding(info.vocabulary_sizes["text"], config.units, name="embedding")
    hidden = embedding(tokens)  # [batch, time, units]
    if config.ngrams > 1:
        hidden += NGramEmbedding(config.ngrams, config.ngram_buckets, config.units, name="ngrams")(tokens)
    padding_mask = keras.ops.not_equal(tokens, 0)  # [batch, time]
    hidden = _add_position(hidden, config, info)
    hidden = Dropout(config.embedding_dropout, name="embedding_dropout")(hidden)
    if config.convolution is not None:
        # Padding is silenced, so that a text's logits do not depend on how far it was padded.
        hidden = hidden * keras.ops.cast(keras.ops.expand_dims(padding_mask, -1), hidden.dtype)
        hidden = keras.layers.Conv1D(
            config.units, config.convolution, padding="same", activation="relu", name="convolution"
        )(hidden)
    if config.recurrent != "none":
        hidden = both_directions(config.recurrent, config.units, "recurrent")(hidden, mask=padding_mask)
        hidden *= keras.ops.cast(keras.ops.expand_dims(padding_mask, -1), hidden.dtype)

    # Attention blocks
    for number in range(config.num_layers):
        block = EncoderBlock(
            units=config.units,
            attention=config.attention,
            feed_forward_units=config.feed_forward_units,
            dropout=config.dropout,
            norm=config.norm,
            residual=config.residual,
            name=f"block_{number}",
        )
        layer = WindowBlock(config.window, block, name=f"windows_{number}") if config.window else block
        hidden = layer(hidden, padding_mask=padding_mask)
    if config.norm == "pre" and config.num_layers:
        hidden = keras.layers.LayerNormalization(name="norm")(hidden)

    # Head
    pooled = _pool(hidden, padding_mask, config)  # [batch, units]
    if config.batch_norm:
        pooled = keras.layers.BatchNormalization(momentum=0.9, name="batch_norm")(pooled)
    for number, units in enumerate(config.dense_units):
        pooled = keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(pooled)
    pooled = Dropout(config.dropout, name="dropout")(pooled)
    logits = keras.layers.Dense(info.num_classes, dtype="float32", name="logits")(pooled)
    return keras.Model({"text": tokens}, logits, name=config.name)


def _add_position(hidden, config: Config, info: DataInfo):
    from attnzoo.layers.position import LearnedPosition, SinusoidalPosition

    if config.position == "sinusoidal":
        return SinusoidalPosition(name="position")(hidden)
    if config.position == "learned":
        return LearnedPosition(max(bucket["text"] for bucket in info.buckets), name="position")(hidden)
    return hidden


def _pool(hidden, padding_mask, config: Config):
    import keras

    from attnzoo.attention import AttentionPooling
    from attnzoo.layers.windows import WindowPooling

    kind = config.pooling
    if config.window and kind != "attention":
        raise ValueError(f"`window` goes with pooling: attention. Received: pooling={kind}")
    if config.window:
        return WindowPooling(config.window, name="pooling")(hidden, padding_mask=padding_mask)
    if kind == "attention":
        return AttentionPooling(name="pooling")(hidden, padding_mask=padding_mask)
    mask = keras.ops.expand_dims(padding_mask, -1)  # [batch, time, 1]
    if kind == "max":
        lowest = keras.ops.full_like(hidden, -6e4)
        return keras.ops.max(keras.ops.where(mask, hidden, lowest), axis=1)
    weights = keras.ops.cast(mask, "float32")
    total = keras.ops.sum(keras.ops.cast(hidden, "float32") * weights, axis=1)
    return total / keras.ops.maximum(keras.ops.sum(weights, axis=1), 1.0)
