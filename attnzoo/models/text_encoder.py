"""The text encoder that the text models share: from token ids to a vector for each position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from attnzoo.attention.mechanisms import AttentionOptions, parse
from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, within
from attnzoo.config.sections import ModelOptions
from attnzoo.features.info import DataInfo

if TYPE_CHECKING:
    import keras


_OF_BLOCKS = EffectIf("num_layers is 1 or more", lambda own: own.num_layers > 0)


class EncoderOptions(ModelOptions):
    """Options of the text encoder."""

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
    ngram_buckets: Annotated[PositiveInt, EffectIf("ngrams is 2 or more", lambda own: own.ngrams > 1)] = (
        Field(
            2**18, description="Rows of the embedding table of n-grams; n-grams with the same hash share one."
        )
    )
    convolution: PositiveInt | None = Field(
        None,
        description="Kernel size, in tokens, of a convolution after the embedding. Default: no convolution.",
    )
    recurrent: Literal["none", "gru", "lstm"] = Field(
        "none", description="Bidirectional recurrent layer before the attention blocks; needs even units."
    )
    window: PositiveInt | None = Field(
        None,
        description="For long texts: the text is split into windows of this many tokens, blocks attend only "
        "within a window, and attention pooling combines the windows. Default: no windows.",
    )
    num_layers: int = Field(1, ge=0, description="Number of attention blocks.")
    attention: Annotated[AttentionOptions, _OF_BLOCKS] = Field(
        parse("multi_head"), description="Attention mechanism of the blocks."
    )
    feed_forward_units: Annotated[int, Field(ge=0), _OF_BLOCKS] = Field(
        0, description="Hidden width of the feed-forward network of each block; 0 = none."
    )
    norm: Annotated[Literal["pre", "post", "none"], _OF_BLOCKS] = Field(
        "pre", description="Layer normalization before (pre) or after (post) each sublayer of a block."
    )
    residual: Annotated[bool, _OF_BLOCKS] = Field(
        True, description="Residual connection around each sublayer of a block."
    )
    dropout: Rate = Field(0.1, description="Dropout rate in the blocks and before the dense layers.")
    embedding_dropout: Rate = Field(0.0, description="Dropout rate of the embeddings.")

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields an attention that the width does not suit, and a recurrent layer of an odd width."""
        yield from super().problems(config)
        if self.num_layers:
            yield from within(("attention",), self.attention.problems(self.units))
        if self.recurrent != "none" and self.units % 2:
            what = (
                f"expected an even number, half for each direction of {self.recurrent}; received {self.units}"
            )
            yield ("units",), what


def encode(config: EncoderOptions, info: DataInfo) -> tuple[keras.KerasTensor, ...]:
    """Builds the encoder of a functional model.

    Args:
        config: options of the encoder.
        info: provides the vocabulary size and the maximum length.

    Returns:
        Symbolic tensors: the input `text` <int32>[batch, time], its padding mask <bool>[batch, time], and the
        encoding <float>[batch, time, units].
    """
    import keras

    from attnzoo.layers.dropout import Dropout
    from attnzoo.layers.embedding import TokenEmbedding
    from attnzoo.layers.ngrams import NGramEmbedding
    from attnzoo.layers.recurrent import bidirectional
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
        # Padding is zeroed so that the logits of a text do not depend on the amount of padding.
        hidden = hidden * keras.ops.cast(keras.ops.expand_dims(padding_mask, -1), hidden.dtype)
        hidden = keras.layers.Conv1D(
            config.units, config.convolution, padding="same", activation="relu", name="convolution"
        )(hidden)
    if config.recurrent != "none":
        hidden = bidirectional(config.recurrent, config.units, "recurrent")(hidden, mask=padding_mask)
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
    """Options of text models that pool the encoding into one vector."""

    attention_option: ClassVar[str] = "model.num_layers=1 --set model.attention.name=multi_head"

    pooling: Literal["attention", "mean", "max"] = Field(
        "attention",
        description="How the vectors of all positions become one; attention is a mean with learned weights.",
    )
    pooling_hidden_units: Annotated[
        int, Field(ge=0), EffectIf("pooling is attention", lambda own: own.pooling == "attention")
    ] = Field(
        0,
        description="Width of the tanh layer that scores each position for attention pooling; 0 = a linear "
        "score.",
    )
    batch_norm: bool = Field(False, description="Batch normalization of the pooled vector.")
    dense_units: list[PositiveInt] = Field(
        [], description="Units of each hidden dense layer before the output."
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields windows that are not pooled by attention."""
        yield from super().problems(config)
        if self.window and self.pooling != "attention":
            what = f"goes with pooling: attention, not {self.pooling}; leave window out, or set model.pooling"
            yield ("window",), what


def encode_pooled(config: PooledOptions, info: DataInfo, outputs: int) -> tuple[keras.KerasTensor, ...]:
    """Builds the encoder, the pooling and the dense layers of a functional model.

    Args:
        config: options of the encoder and the pooling.
        info: provides the vocabulary size and the maximum length.
        outputs: number of outputs, 1 or more.

    Returns:
        Symbolic tensors: the input `text` <int32>[batch, time] and the outputs <float32>[batch, outputs].
    """
    import keras

    from attnzoo.layers.batch_normalization import BatchNormalization
    from attnzoo.layers.dropout import Dropout

    tokens, padding_mask, hidden = encode(config, info)
    pooled = _pool(hidden, padding_mask, config)  # [batch, units]
    if config.batch_norm:
        pooled = BatchNormalization(momentum=0.9, name="batch_norm")(pooled)
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
