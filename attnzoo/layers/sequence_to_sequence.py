"""The base class of translation models: embeddings, output projection and factors of the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from attnzoo.layers.embedding import TokenEmbedding


class SequenceToSequence(keras.Model):
    """Base class of models that return the logits of the next target token for source and target token ids.

    A subclass implements `decode_all` and, for generation, `encode`, `start`, `grow` and `step`; see
    `EncoderDecoder`.

    Args:
        options: the subclass's own arguments, for `get_config`.
        source_vocabulary: number of source token ids, 1 or more.
        target_vocabulary: number of target token ids, 1 or more.
        units: model width, 1 or more.
        scale: whether embeddings are multiplied by sqrt(units).
        share_embeddings: whether source and target share one embedding table (and vocabulary).
        tie_output: whether the target embedding table is also the output projection.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: a table is shared by vocabularies of different sizes.

    Reference: tied embeddings: Press & Wolf 2017, https://arxiv.org/abs/1608.05859
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
    def from_vocabulary_sizes(
        cls, vocabulary_sizes: Mapping[str, int], name: str, **options: Any
    ) -> SequenceToSequence:
        """Returns a built model.

        Args:
            vocabulary_sizes: number of token ids of `source` and `target`.
            name: name of the model.
            **options: other arguments of the class.
        """
        make_model: Callable[..., SequenceToSequence] = cls  # a subclass, which takes these arguments
        model = make_model(vocabulary_sizes["source"], vocabulary_sizes["target"], **options, name=name)
        tokens = keras.ops.ones((1, 2), "int32")
        model({"source": tokens, "target": tokens})
        return model

    def call(self, inputs: dict[str, Any], training: bool | None = None):
        """Returns the logits of all target positions.

        Args:
            inputs: `source` <int32>[batch, source] and `target` <int32>[batch, target], which starts with
                START; 0 is padding.
            training: whether dropout is active.

        Returns:
            <float32>[batch, target, target_vocabulary].
        """
        hidden, _ = self.decode_all(inputs, training)
        return self.logits(hidden)

    def logit_factors(self, hidden):
        """Returns the two factors of the logits, for a loss that does not materialize all logits.

        Args:
            hidden: <float>[batch, target, units], returned by `decode_all`.

        Returns:
            Hidden <float>[batch, target, width] and table <float32>[target_vocabulary, width]; the logits are
            hidden table^T. An output bias is an additional column of the table, with ones in `hidden`.
        """
        if self.output_layer is None:
            return hidden, tf.convert_to_tensor(self.target_embedding.embeddings)
        kernel, bias = (tf.convert_to_tensor(weight) for weight in self.output_layer.weights)
        ones = tf.ones_like(hidden[..., :1])
        return tf.concat([hidden, ones], -1), tf.concat([tf.transpose(kernel), bias[:, None]], axis=1)

    def decode_all(self, inputs: dict[str, Any], training: bool | None, with_alignment: bool = False):
        """Decodes all positions of given targets (teacher forcing).

        Args:
            inputs: those of the call.
            training: whether dropout is active.
            with_alignment: whether to return the attention to the source.

        Returns:
            Input of the output projection, <float>[batch, target, units]; and the attention to the source
            <float32>[batch, target, source], the same as in `step`, or None without `with_alignment`.
        """
        raise NotImplementedError

    def logits(self, hidden):
        """Maps <float>[batch, time, units] to logits <float32>[batch, time, target_vocabulary]."""
        return (
            self.target_embedding.logits(hidden) if self.output_layer is None else self.output_layer(hidden)
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self.options}
