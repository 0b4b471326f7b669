"""From the tokens of translations to texts, with words of the source in the place of unknown ones."""

from __future__ import annotations

import tensorflow as tf

from attnzoo.features.info import DataInfo
from attnzoo.special_tokens import UNKNOWN
from attnzoo.text.tokenizers import WordTokenizer


class Writer(tf.Module):
    """Writes translations as texts.

    Where an unknown word is written, which a search with `eval.unknown: copy` alone does, the word of the
    source that it attends to most takes its place.

    Args:
        info: what is known of the data.

    Reference: Luong et al. 2015, section 3.3 (PosUnk), https://arxiv.org/abs/1410.8206
    """

    def __init__(self, info: DataInfo) -> None:
        super().__init__()
        self.source, self.target = (info.features[name].make_tokenizer() for name in ("source", "target"))

    def __call__(self, tokens: tf.Tensor, alignment: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Returns texts <string>[batch].

        Args:
            tokens: <int32>[batch, time], padding behind END.
            alignment: <float32>[batch, time, source], where each token attended.
            sources: <string>[batch], the raw texts.
        """
        if not isinstance(self.target, WordTokenizer) or not isinstance(self.source, WordTokenizer):
            return self.target.decode(tokens)
        width = tf.cast(tf.shape(alignment)[2], tf.int64)
        words = self.source.words(sources).to_tensor("", shape=[None, None])[:, :width]  # [batch, words]
        words = tf.pad(words, [[0, 0], [0, tf.shape(alignment)[2] - tf.shape(words)[1]]])  # [batch, source]
        places = tf.argmax(tf.where((words == "")[:, None], -1.0, alignment), axis=-1)  # [batch, time]
        copied = tf.gather(words, places, batch_dims=1)
        return self.target.joined(tokens, tf.where(tokens == UNKNOWN, copied, self.target.token(tokens)))
