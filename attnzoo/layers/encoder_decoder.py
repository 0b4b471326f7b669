"""The Transformer encoder-decoder: one call for training, single steps for generation."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf

from attnzoo.layers.dropout import Dropout
from attnzoo.layers.position import SinusoidalPosition
from attnzoo.layers.sequence_to_sequence import SequenceToSequence
from attnzoo.layers.transformer import DecoderBlock, EncoderBlock

Position = Literal["sinusoidal", "none"]
Caches = list[Any]
"""One entry per decoder block: the projected source, and the target up to the current position."""


@keras.saving.register_keras_serializable("attnzoo")
class EncoderDecoder(SequenceToSequence):
    """Transformer encoder-decoder that returns the logits of the next target token.

    Args:
        source_vocabulary: number of source token ids, 1 or more.
        target_vocabulary: number of target token ids, 1 or more.
        units: model width, 1 or more.
        num_encoder_layers: number of encoder blocks, 1 or more.
        num_decoder_layers: number of decoder blocks, 1 or more.
        feed_forward_units: hidden width of the feed-forward networks, 1 or more.
        attention: options of the attention layers, as a dict with `name`.
        position: position encoding added to the embeddings, "sinusoidal" or "none".
        dropout: fraction of activations dropped in training, in [0, 1).
        feed_forward_dropout: fraction dropped in the feed-forward networks, in [0, 1); None for `dropout`.
        norm: position of the layer normalization, "pre" or "post".
        share_embeddings: whether source and target share one embedding table (and vocabulary).
        tie_output: whether the target embedding table is also the output projection.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    Examples:
        >>> options = {"num_encoder_layers": 1, "num_decoder_layers": 1, "feed_forward_units": 32}
        >>> model = EncoderDecoder(11, 13, units=16, attention={"name": "linear"}, **options)
        >>> model({"source": tf.ones([2, 7], tf.int32), "target": tf.ones([2, 5], tf.int32)}).shape
        TensorShape([2, 5, 13])
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        units: int,
        num_encoder_layers: int,
        num_decoder_layers: int,
        feed_forward_units: int,
        attention: dict[str, Any],
        position: Position = "sinusoidal",
        dropout: float = 0.0,
        feed_forward_dropout: float | None = None,
        norm: str = "pre",
        share_embeddings: bool = False,
        tie_output: bool = True,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "num_encoder_layers": num_encoder_layers,
            "num_decoder_layers": num_decoder_layers,
            "feed_forward_units": feed_forward_units,
            "attention": attention,
            "position": position,
            "dropout": dropout,
            "feed_forward_dropout": feed_forward_dropout,
            "norm": norm,
        }
        super().__init__(
            options,
            source_vocabulary,
            target_vocabulary,
            units,
            scale=True,
            share_embeddings=share_embeddings,
            tie_output=tie_output,
            **kwargs,
        )
        block: dict[str, Any] = {
            "units": units,
            "attention": attention,
            "feed_forward_units": feed_forward_units,
            "dropout": dropout,
            "feed_forward_dropout": feed_forward_dropout,
            "norm": norm,
        }
        self.position = SinusoidalPosition(name="position") if position == "sinusoidal" else None
        self.dropout = Dropout(dropout, name="dropout")
        self.encoder = [EncoderBlock(**block, name=f"encoder_{i}") for i in range(num_encoder_layers)]
        self.decoder = [DecoderBlock(**block, name=f"decoder_{i}") for i in range(num_decoder_layers)]
        self.encoder_norm = keras.layers.LayerNormalization(name="encoder_norm") if norm == "pre" else None
        self.decoder_norm = keras.layers.LayerNormalization(name="decoder_norm") if norm == "pre" else None

    def decode_all(self, inputs: dict[str, Any], training: bool | None, with_alignment: bool = False):
        """Decodes all positions of given targets; see `SequenceToSequence.decode_all`."""
        encoded, source_mask = self.encode(inputs["source"], training=training)
        embedded = self.target_embedding(inputs["target"])
        hidden = self.dropout(self._add_position(embedded), training=training)
        alignment = None
        for block in self.decoder:
            with_weights = with_alignment and block is self.decoder[-1]
            hidden = block(
                hidden,
                encoded,
                source_mask=source_mask,
                training=training,
                return_attention_scores=with_weights,
            )
            if with_weights:
                hidden, attention_weights = hidden
                alignment = tf.reduce_mean(attention_weights, axis=1)
        return hidden if self.decoder_norm is None else self.decoder_norm(hidden), alignment

    def encode(self, source, training: bool | None = None):
        """Encodes the source <int32>[batch, source].

        Returns:
            <float>[batch, source, units] and the padding mask <bool>[batch, source], True at tokens.
        """
        source_mask = self.source_embedding.padding_mask(source)
        hidden = self.dropout(self._add_position(self.source_embedding(source)), training=training)
        for block in self.encoder:
            hidden = block(hidden, padding_mask=source_mask, training=training)
        return hidden if self.encoder_norm is None else self.encoder_norm(hidden), source_mask

    def _add_position(self, embedded, offset=0):
        """Adds the position encoding, starting at position `offset`, to <float>[batch, time, units]."""
        return embedded if self.position is None else self.position(embedded, offset=offset)

    def start(self, encoded, beams: int, max_length: int) -> Caches:
        """Returns empty caches for `beams` targets of at most `max_length` tokens per source."""
        return [block.start(encoded, beams, max_length) for block in self.decoder]

    def grow(self, caches: Caches, beams: int, max_length: int) -> Caches:
        """Extends the caches to `max_length` tokens."""
        return [
            block.grow(cache, beams, max_length) for block, cache in zip(self.decoder, caches, strict=True)
        ]

    def step(self, tokens, caches: Caches, position, ancestry, source_mask):
        """Decodes one position of every beam.

        Args:
            tokens: <int32>[batch, beams], the previous token.
            caches: returned by `start` or the previous step.
            position: <int32>[], 0 for the first.
            ancestry: <int32>[batch, beams, max_length] or None, see `DecoderBlock.step`.
            source_mask: <bool>[batch, source].

        Returns:
            Logits <float32>[batch, beams, target_vocabulary], the new caches, and the attention to the source
            <float32>[batch, beams, source], which is the mean over the heads of the last block.
        """
        embedded = self.target_embedding(tokens)  # [batch, beams, units]
        batch, beams, units = keras.ops.shape(embedded)
        rows = keras.ops.reshape(embedded, [batch * beams, 1, units])
        hidden = keras.ops.reshape(self._add_position(rows, position), [batch, beams, units])
        new_caches, attention_weights = [], None
        for block, cache in zip(self.decoder, caches, strict=True):
            hidden, cache, attention_weights = block.step(
                hidden, cache, position, ancestry, source_mask, return_attention_scores=True
            )
            new_caches.append(cache)
        hidden = hidden if self.decoder_norm is None else self.decoder_norm(hidden)
        return self.logits(hidden), new_caches, tf.reduce_mean(attention_weights, axis=1)
