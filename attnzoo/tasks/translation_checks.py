"""Checks of translation options against the data, for combinations that are probably mistakes."""

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

MAX_LOST_FRACTION = 0.05
"""A warning is issued if the tokenizer cannot reproduce more than this fraction of the targets."""
SPACE_TOKENIZERS = ("13a", "intl", "none")


def warn_of_lost_targets(tokenizer: Tokenizer, targets: Sequence[str]) -> None:
    """Issues a `DataWarning` if the tokenizer cannot reproduce the targets: capitals or spaces are lost.

    Args:
        tokenizer: tokenizer of the targets.
        targets: one or more training targets.
    """
    ids = tokenizer.encode(tf.constant([text.encode("utf-8") for text in targets])).to_tensor(PADDING)
    decoded = [text.decode("utf-8") for text in tokenizer.decode(ids).numpy()]
    lost = [pair for pair in zip(targets, decoded, strict=True) if pair[0].split() != pair[1].split()]
    if len(lost) > MAX_LOST_FRACTION * len(targets):
        original, reproduced = lost[0]
        warnings.warn(
            f"{len(lost) / len(targets):.0%} of the target texts cannot be reproduced with this tokenizer: "
            f"'{printable(original)}' becomes '{printable(reproduced)}'; set data.tokenizer: subwords and "
            "data.lowercase: false.",
            DataWarning,
            stacklevel=2,
        )


def warn_of_bleu_tokenizer(options: TranslationEvalOptions, targets: Sequence[str]) -> None:
    """Issues a `DataWarning` if the BLEU tokenizer would treat whole sentences as words.

    Raises:
        UserError: the tokenizer is not installed (exit code 2).
    """
    translation_metrics.bleu(options)
    if options.bleu_tokenizer in SPACE_TOKENIZERS and have_no_spaces(targets):
        warnings.warn(
            f"eval.bleu_tokenizer: {options.bleu_tokenizer} splits at spaces, but the targets have no spaces "
            "between words, so BLEU will be near 0; set it to zh, ja-mecab, flores200 or char.",
            DataWarning,
            stacklevel=2,
        )
