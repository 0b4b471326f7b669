"""What the models of texts share: from token ids to a vector for each position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, parse
from attnzoo.config.sections import PositiveInt, Rate, Section
from attnzoo.features.info import DataInfo

if TYPE_CHECKING:
    import keras


class EncoderOptions(Section):
    """Options of the encoder."""

    name: str
    units: PositiveInt = Field(128, description="Width of the embeddings and of the attention blocks.")
    position: Literal["none", "sinusoidal", "learned"] = Field(
        "none", description="Position embedding that is added to the token embeddings."
    )
    ngrams: int = Field(
        1,
        ge=1,
        le=8,
        description="Longest n-gram, in tokens, that has an embedding of its own; it is added to that of "
        "the n-gram's first token. 1 = single tokens only.",
    )
    ngram_buckets: PositiveInt = Field(
        2**18, description="Rows of the embedding table of n-grams; n-grams with the same hash share one."
    )
    convolution: PositiveInt | None = Field(
        None,
        description="Kernel size, in tokens, of a convolution after the embedding. Default: no convolution.",
    )
    recurrent: Literal["none", "gru", "lstm"] = Field(
        "none", description="Bidirectional recurrent layer before the attention blocks."
    )
    window: PositiveInt | None = Field(
        None,
        description="For long texts: the text is split into windows of this many tokens, each block sees "
        "one window at a time, and attention pools the windows. Default: no windows.",
    )
    num_layers: int = Field(1, ge=0, description="Number of attention blocks.")
    attention: AttentionOptions = Field(parse("multi_head"), description="Attention layer of the blocks.")
    feed_forward_units: int = Field(
        0,
        ge=0,
        description="Width of the hidden layer in the feed-forward part of a block; 0 = no such part.",
    )
    norm: Literal["pre", "post", "none"] = Field(
        "pre", description="Layer normalization before (pre) or after (post) each part of a block."
    )
    residual: bool = Field(
        True, description="Residual connections: the input of each part of a block is added to its output."
    )
    dropout: Rate = Field(0.1, description="Fraction of activations dropped in training, 0 to 1.")
    embedding_dropout: Rate = Field(
        0.0, description="Fraction of the activations of the embedding dropped in training, 0 to 1."
    )


def encode(config: EncoderOptions, info: DataInfo) -> tuple[keras.KerasTensor, ...]:
    """Builds the encoder of a functional model.

    Args:
        config: its options.
        info: gives the vocabulary and the longest text.

    Returns:
        Symbolic tensors: the input `text` <int32>[batch, time], where it has tokens <bool>[batch, time], and
        <float>[batch, time, units].
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
    embedding = TokenEmbedding(info.features["text"].vocabulary_size, config.units, name="embedding")
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
        options: dict[str, Any] = {
            "units": config.units,
            "attention": config.attention,
            "feed_forward_units": config.feed_forward_units,
            "dropout": config.dropout,
            "norm": config.norm,
            "residual": config.residual,
            "name": f"block_{number}",
        }
        block = WindowBlock(window=config.window, **options) if config.window else EncoderBlock(**options)
        hidden = block(hidden, padding_mask=padding_mask)
    if config.norm == "pre" and config.num_layers:
        hidden = keras.layers.LayerNormalization(name="norm")(hidden)
    return tokens, padding_mask, hidden


def _add_position(hidden, config: EncoderOptions, info: DataInfo):
    from attnzoo.layers.position import LearnedPosition, SinusoidalPosition

    if config.position == "sinusoidal":
        return SinusoidalPosition(name="position")(hidden)
    if config.position == "learned":
        return LearnedPosition(info.lengths[-1]["text"], name="position")(hidden)
    return hidden


class PooledOptions(EncoderOptions):
    """Options of models that sum a text up in one vector, and give numbers for it."""

    pooling: Literal["attention", "mean", "max"] = Field(
        "attention", description="How the vectors of all positions become one."
    )
    pooling_hidden_units: int = Field(
        0,
        ge=0,
        description="attention: width of the tanh layer that scores each position; 0 = a linear score.",
    )
    batch_norm: bool = Field(False, description="Batch normalization of the pooled vector.")
    dense_units: list[PositiveInt] = Field([], description="Widths of hidden layers before the outputs.")


def encode_pooled(config: PooledOptions, info: DataInfo, outputs: int) -> tuple[keras.KerasTensor, ...]:
    """Builds the encoder of a functional model with outputs for the whole text.

    Args:
        config: its options.
        info: gives the vocabulary and the longest text.
        outputs: numbers that it gives.

    Returns:
        Symbolic tensors: the input `text` <int32>[batch, time], and outputs <float32>[batch, outputs].
    """
    import keras

    from attnzoo.layers.dropout import Dropout

    tokens, padding_mask, hidden = encode(config, info)
    pooled = _pool(hidden, padding_mask, config)  # [batch, units]
    if config.batch_norm:
        pooled = keras.layers.BatchNormalization(momentum=0.9, name="batch_norm")(pooled)
    for number, units in enumerate(config.dense_units):
        pooled = keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(pooled)
    pooled = Dropout(config.dropout, name="dropout")(pooled)
    return tokens, keras.layers.Dense(outputs, dtype="float32", name="logits")(pooled)


def _pool(hidden, padding_mask, config: PooledOptions):
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
