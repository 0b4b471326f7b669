"""What translation models share: embeddings, output projection and the factors of the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from attnzoo.layers.embedding import TokenEmbedding


class SequenceToSequence(keras.Model):
    """Base of the models that translate token ids into logits of the next target token.

    A subclass gives `decode_all`, and for writing `encode`, `start` and `step`; see `EncoderDecoder`.

    Args:
        options: the subclass's arguments, for `get_config`.
        source_vocabulary: number of source token ids.
        target_vocabulary: number of target token ids.
        units: model width.
        scale: whether embeddings are multiplied by sqrt(units).
        share_embeddings: one table for source and target (one vocabulary).
        tie_output: the target table also gives the output logits.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: a shared table of two vocabularies.

    Reference: sharing of the three tables: Press & Wolf 2017, https://arxiv.org/abs/1608.05859
    """

    def __init__(
        self,
        options: dict[str, Any],
        source_vocabulary: int,
        target_vocabulary: int,
        units: int,
        *,
        scale: bool,
        share_embeddings: bool,
        tie_output: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if share_embeddings and source_vocabulary != target_vocabulary:
            raise ValueError(
                "share_embeddings needs one vocabulary for source and target; received "
                f"{source_vocabulary} and {target_vocabulary} token ids. Set data.shared_vocabulary: true."
            )
        self.options = {
            **options,
            "source_vocabulary": source_vocabulary,
            "target_vocabulary": target_vocabulary,
            "units": units,
            "share_embeddings": share_embeddings,
            "tie_output": tie_output,
        }
        self.source_embedding = TokenEmbedding(source_vocabulary, units, scale, name="source_embedding")
        self.target_embedding = (
            self.source_embedding
            if share_embeddings
            else TokenEmbedding(target_vocabulary, units, scale, name="target_embedding")
        )
        self.output_layer = (
            None if tie_output else keras.layers.Dense(target_vocabulary, dtype="float32", name="output")
        )

    @classmethod
    def built_for(cls, vocabulary_sizes: Mapping[str, int], name: str, **options: Any) -> SequenceToSequence:
        """Returns a model with its variables made.

        Args:
            vocabulary_sizes: token ids of `source` and `target`.
            name: of the model.
            **options: the other arguments of the class.
        """
        make: Callable[..., SequenceToSequence] = cls  # a subclass, whose arguments these are
        model = make(vocabulary_sizes["source"], vocabulary_sizes["target"], **options, name=name)
        tokens = keras.ops.ones((1, 2), "int32")
        model({"source": tokens, "target": tokens})
        return model

    def call(self, inputs: dict[str, Any], training: bool | None = None):
        """Gives the logits of every target position.

        Args:
            inputs: `source` <int32>[batch, source] and `target` <int32>[batch, target], which begins with
                START; 0 is padding.
            training: whether dropout is on.

        Returns:
            <float32>[batch, target, target_vocabulary].
        """
        hidden, _ = self.decode_all(inputs, training)
        return self.logits(hidden)

    def factors(self, hidden):
        """Gives the two factors of the logits, for a loss that does not need them all at once.

        Args:
            hidden: <float>[batch, target, units], what `decode_all` gives.

        Returns:
            Hidden <float>[batch, target, width] and table <float32>[target_vocabulary, width]: the logits
            are their products. A bias of the output is one more column, that of `hidden` being 1.
        """
        if self.output_layer is None:
            return hidden, tf.convert_to_tensor(self.target_embedding.embeddings)
        kernel, bias = (tf.convert_to_tensor(weight) for weight in self.output_layer.weights)
        ones = tf.ones_like(hidden[..., :1])
        return tf.concat([hidden, ones], -1), tf.concat([tf.transpose(kernel), bias[:, None]], axis=1)

    def decode_all(self, inputs: dict[str, Any], training: bool | None, with_alignment: bool = False):
        """Decodes all target positions of given targets.

        Args:
            inputs: those of the call.
            training: whether dropout is on.
            with_alignment: whether to tell where each position attends.

        Returns:
            What the output projection sees, <float>[batch, target, units], and the attention to the source
            <float32>[batch, target, source], which is that of `step`; None without `with_alignment`.
        """
        raise NotImplementedError

    def logits(self, hidden):
        """Returns <float32>[batch, time, target_vocabulary] of <float>[batch, time, units]."""
        return (
            self.target_embedding.logits(hidden) if self.output_layer is None else self.output_layer(hidden)
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self.options}
