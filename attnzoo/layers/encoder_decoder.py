"""The Transformer encoder-decoder, with one call for training and single steps for decoding."""

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
"""One entry a decoder block: projected source memory, and target memory up to the current position."""


@keras.saving.register_keras_serializable("attnzoo")
class EncoderDecoder(SequenceToSequence):
    """Translates token ids into logits of the next target token.

    Args:
        source_vocabulary: number of source token ids.
        target_vocabulary: number of target token ids.
        units: model width.
        num_encoder_layers: blocks that read the source.
        num_decoder_layers: blocks that write the target.
        feed_forward_units: width inside the feed-forward parts.
        attention: options of the attention layers, as a dict with `name`.
        position: what is added to the embeddings, "sinusoidal" or "none".
        dropout: fraction of activations dropped, 0 to 1.
        feed_forward_dropout: share dropped inside the feed-forward parts; None for that of `dropout`.
        norm: "pre" or "post".
        share_embeddings: one table for source and target (one vocabulary).
        tie_output: the target table also gives the output logits.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
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
        """Decodes all target positions of given targets; see `SequenceToSequence.decode_all`."""
        encoded, source_mask = self.encode(inputs["source"], training=training)
        embedded = self.target_embedding(inputs["target"])
        hidden = self.dropout(self._place(embedded), training=training)
        alignment = None
        for block in self.decoder:
            asked = with_alignment and block is self.decoder[-1]
            hidden = block(
                hidden, encoded, source_mask=source_mask, training=training, return_attention_scores=asked
            )
            if asked:
                hidden, scores = hidden
                alignment = tf.reduce_mean(scores, axis=1)
        return hidden if self.decoder_norm is None else self.decoder_norm(hidden), alignment

    def encode(self, source, training: bool | None = None):
        """Reads <int32>[batch, source].

        Returns:
            <float>[batch, source, units] and the mask <bool>[batch, source], True where there is a token.
        """
        source_mask = self.source_embedding.padding_mask(source)
        hidden = self.dropout(self._place(self.source_embedding(source)), training=training)
        for block in self.encoder:
            hidden = block(hidden, padding_mask=source_mask, training=training)
        return hidden if self.encoder_norm is None else self.encoder_norm(hidden), source_mask

    def _place(self, embedded, offset=0):
        """Returns <float>[batch, time, units] with positions from `offset` on."""
        return embedded if self.position is None else self.position(embedded, offset=offset)

    def start(self, encoded, beams: int, max_length: int) -> Caches:
        """Returns the caches for writing `beams` targets of at most `max_length` tokens for each source."""
        return [block.start(encoded, beams, max_length) for block in self.decoder]

    def grow(self, caches: Caches, beams: int, max_length: int) -> Caches:
        """Returns the caches with room for `max_length` tokens."""
        return [
            block.grow(cache, beams, max_length) for block, cache in zip(self.decoder, caches, strict=True)
        ]

    def step(self, tokens, caches: Caches, position, ancestry, source_mask):
        """Decodes one position of every beam.

        Args:
            tokens: <int32>[batch, beams], the token before.
            caches: from `start` or the step before.
            position: <int32>[], 0 for the first.
            ancestry: <int32>[batch, beams, max_length] or None, see `DecoderBlock.step`.
            source_mask: <bool>[batch, source].

        Returns:
            Logits <float32>[batch, beams, target_vocabulary], the new caches, and how the position attends to
            the source <float32>[batch, beams, source]: the mean over the heads of the last block.
        """
        embedded = self.target_embedding(tokens)  # [batch, beams, units]
        batch, beams, units = keras.ops.shape(embedded)
        rows = keras.ops.reshape(embedded, [batch * beams, 1, units])
        hidden = keras.ops.reshape(self._place(rows, position), [batch, beams, units])
        new_caches, scores = [], None
        for block, cache in zip(self.decoder, caches, strict=True):
            hidden, cache, scores = block.step(
                hidden, cache, position, ancestry, source_mask, return_attention_scores=True
            )
            new_caches.append(cache)
        hidden = hidden if self.decoder_norm is None else self.decoder_norm(hidden)
        return self.logits(hidden), new_caches, tf.reduce_mean(scores, axis=1)
