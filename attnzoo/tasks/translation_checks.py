"""What can hardly be meant of a translator's options, seen in its data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import tensorflow as tf

from attnzoo.errors import DataWarning
from attnzoo.records.text_files import printable
from attnzoo.special_tokens import PADDING
from attnzoo.tasks import translation_metrics
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.text.scripts import have_no_spaces
from attnzoo.text.tokenizers import Tokenizer

SHARE = 0.05
"""Of targets that a tokenizer cannot write, from which on it is worth a line."""
SPLIT_AT_SPACES = ("13a", "intl", "none")


def warn_of_lost_targets(tokenizer: Tokenizer, targets: Sequence[str]) -> None:
    """Issues a `DataWarning` where no translation can equal its reference: capitals or spaces are lost.

    Args:
        tokenizer: writes the translations.
        targets: some of train, one or more.
    """
    ids = tokenizer.encode(tf.constant([text.encode("utf-8") for text in targets])).to_tensor(PADDING)
    written = [text.decode("utf-8") for text in tokenizer.decode(ids).numpy()]
    lost = [pair for pair in zip(targets, written, strict=True) if pair[0].split() != pair[1].split()]
    if len(lost) > SHARE * len(targets):
        wanted, found = lost[0]
        warnings.warn(
            f"{len(lost) / len(targets):.0%} of the target texts cannot be written as they are with these "
            f"options: '{printable(wanted)}' becomes '{printable(found)}'; set data.tokenizer: subwords and "
            "data.lowercase: false.",
            DataWarning,
            stacklevel=2,
        )


def warn_of_bleu_tokenizer(options: TranslationEvalOptions, targets: Sequence[str]) -> None:
    """Issues a `DataWarning` where BLEU would take a sentence for a word.

    Raises:
        UserError: the tokenizer is not installed (exit code 2).
    """
    translation_metrics.bleu(options)
    if options.bleu_tokenizer in SPLIT_AT_SPACES and have_no_spaces(targets):
        warnings.warn(
            f"eval.bleu_tokenizer: {options.bleu_tokenizer} splits at spaces, and the targets have none "
            "between words: BLEU is near 0 whatever is right; set it to zh, ja-mecab, flores200 or char.",
            DataWarning,
            stacklevel=2,
        )
