"""Detokenization of translations, with unknown words replaced by source words."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.features.info import DataInfo
from attnzoo.special_tokens import UNKNOWN
from attnzoo.text.tokenizers import WordTokenizer


class TranslationDetokenizer(tf.Module):
    """Converts token ids of translations to texts.

    An unknown word, which only a search with `eval.unknown: copy` generates, is replaced by the source word
    that it attends to most.

    Args:
        info: what is known about the data.

    Reference: Luong et al. 2015, section 3.3 (PosUnk), https://arxiv.org/abs/1410.8206
    """

    def __init__(self, info: DataInfo) -> None:
        super().__init__()
        self.source, self.target = (info.features[name].make_tokenizer() for name in ("source", "target"))

    def __call__(self, tokens: tf.Tensor, alignment: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Returns texts <string>[batch].

        Args:
            tokens: <int32>[batch, time], END and then padding.
            alignment: <float32>[batch, time, source], the attention of each token.
            sources: <string>[batch], the raw source texts.
        """
        if not isinstance(self.target, WordTokenizer) or not isinstance(self.source, WordTokenizer):
            return self.target.decode(tokens)
        width = tf.cast(tf.shape(alignment)[2], tf.int64)
        words = self.source.words(sources).to_tensor("", shape=[None, None])[:, :width]  # [batch, words]
        words = tf.pad(words, [[0, 0], [0, tf.shape(alignment)[2] - tf.shape(words)[1]]])  # [batch, source]
        positions = tf.argmax(tf.where((words == "")[:, None], -1.0, alignment), axis=-1)  # [batch, time]
        copied = tf.gather(words, positions, batch_dims=1)
        return self.target.join_tokens(tokens, tf.where(tokens == UNKNOWN, copied, self.target.token(tokens)))
