"""Trains SentencePiece models; the same texts in any order give the same bytes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.special_tokens import END, NUM_BYTES, NUM_SPECIAL, PADDING, START, UNKNOWN

MAX_BYTES = 8 << 20
"""Largest size of the training texts, in bytes; larger ones are subsampled."""


def train(chunks: Iterable[tf.Tensor], model_type: str, vocabulary_size: int) -> bytes | None:
    """Returns a serialized model, or None if the texts have no tokens.

    Training takes memory and time in proportion to the texts, so at most about 8 MiB of texts are used,
    evenly spaced over the sorted distinct texts.

    Args:
        chunks: batches of texts <string>[chunk], in valid UTF-8 with single spaces.
        model_type: "unigram" or "bpe".
        vocabulary_size: largest number of pieces, including the 4 special ones but not the 256 bytes, which
            encode characters that the texts do not have.

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
    output = io.BytesIO()
    # TensorFlow Text prints a line whenever it loads a model without normalization rules. This rule has no
    # effect, because no-break spaces have been replaced already.
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("A0\t20\n")
        rules.flush()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences[::stride]),
                model_writer=output,
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
                f"data.vocabulary_size: {vocabulary_size} is too small for subwords: the training texts have "
                f"{num_characters} distinct characters; set it to {num_characters + NUM_SPECIAL} or more "
                f"({' '.join(str(error).split())})."
            ) from None
    messages: Any = sentencepiece_model_pb2  # its classes are created dynamically
    model = messages.ModelProto.FromString(output.getvalue())
    model.normalizer_spec.ClearField("normalization_rule_tsv")  # name of the temporary file
    return model.SerializeToString(deterministic=True)
