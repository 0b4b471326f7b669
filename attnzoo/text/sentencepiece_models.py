"""SentencePiece models learned from texts, the same bytes for the same texts in any order."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.special_tokens import END, NUM_BYTES, NUM_SPECIAL, PADDING, START, UNKNOWN

MAX_BYTES = 8 << 20
"""Texts that are learned from, in bytes."""


def train(chunks: Iterable[tf.Tensor], model_type: str, vocabulary_size: int) -> bytes | None:
    """Returns a serialised model; None if the texts hold not one token.

    Learning takes memory and time in proportion to the texts, so that it uses about 8 MiB of texts at most,
    spread evenly over the sorted different ones.

    Args:
        chunks: texts <string>[chunk] each, in valid UTF-8 with single spaces.
        model_type: "unigram" or "bpe".
        vocabulary_size: most pieces, the 4 special ones included and the 256 bytes, which characters that
            the texts do not have are made of, not.

    Raises:
        UserError: `vocabulary_size` is too small for the characters of the texts.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    unique: set[bytes] = set()
    for chunk in chunks:
        unique.update(chunk.numpy().tolist())
    sentences = sorted(text.strip().decode("utf-8") for text in unique if text.strip())
    if not sentences:
        return None
    stride = -(-sum(len(text) for text in unique) // MAX_BYTES)
    written = io.BytesIO()
    # A model without any rule makes TensorFlow Text print a line whenever it is loaded. No-break spaces are
    # gone already, so that this rule changes nothing.
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("A0\t20\n")
        rules.flush()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences[::stride]),
                model_writer=written,
                model_type=model_type,
                vocab_size=vocabulary_size + NUM_BYTES,
                byte_fallback=True,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_tsv=rules.name,
                max_sentence_length=1 << 30,
                num_threads=1,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=START,
                eos_id=END,
                minloglevel=3,
            )
        except RuntimeError as error:
            num_characters = len(set("".join(sentences[::stride]).replace(" ", "▁")))
            raise UserError(
                f"data.vocabulary_size: {vocabulary_size} is too small for subwords: the training texts hold "
                f"{num_characters} different characters; ask for {num_characters + NUM_SPECIAL} or more "
                f"({' '.join(str(error).split())})."
            ) from None
    messages: Any = sentencepiece_model_pb2  # its classes come into being on import
    model = messages.ModelProto.FromString(written.getvalue())
    model.normalizer_spec.ClearField("normalization_rule_tsv")  # the name of the temporary file
    return model.SerializeToString(deterministic=True)
