"""BLEU and chrF of translations, computed by sacrebleu, with their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest
from sacrebleu.utils import SACREBLEU_DIR

from attnzoo.errors import UserError
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.types import Comparison

RESAMPLES = 1000
"""Number of bootstrap resamples of an interval or a comparison, drawn with sacrebleu's own fixed seed."""

_FLORES = Path(SACREBLEU_DIR, "models", "flores200sacrebleuspm")

References = Sequence[Sequence[str]]
"""[reference][example]: for each reference, one text per translation."""


def bleu(options: TranslationEvalOptions, references: References | None = None) -> BLEU:
    """Returns the BLEU metric that the options specify.

    Raises:
        UserError: its tokenizer is not installed (exit code 2); nothing is downloaded.
    """
    name = options.bleu_tokenizer
    if name == "flores200" and not _FLORES.is_file():
        raise UserError(
            f"eval.bleu_tokenizer: flores200 needs the file {_FLORES}; `sacrebleu --tokenize flores200` "
            "downloads it."
        )
    try:
        return BLEU(
            tokenize=name,
            lowercase=options.bleu_lowercase,
            force=True,  # no warning about texts that look tokenized
            references=references,
        )
    except (ImportError, RuntimeError):
        raise UserError(
            f"eval.bleu_tokenizer: {name} needs packages that are missing: pip install 'attnzoo[mecab]'."
        ) from None


def compute_metrics(
    translations: Sequence[str], references: References, options: TranslationEvalOptions
) -> dict[str, float | str]:
    """Computes the metrics of translations, against one or several references each.

    Returns:
        `exact_match` (fraction equal to any reference, 0 to 1), `bleu` and `chrf` (0 to 100),
        `bleu_interval` (half the width of the 95 % bootstrap interval; needs 2 examples), `bleu_signature`,
        `chrf_signature`.

    Examples:
        >>> translations = ["the cat sat on the mat", "a dog"]
        >>> metrics = compute_metrics(translations, [translations], TranslationEvalOptions())
        >>> metrics["exact_match"], round(metrics["bleu"], 1), round(metrics["chrf"], 1)
        (1.0, 100.0, 100.0)

    Reference: Post 2018, https://arxiv.org/abs/1804.08771; interval: Koehn 2004,
        https://aclanthology.org/W04-3250
    """
    metric, chrf = bleu(options), CHRF(lowercase=options.bleu_lowercase)
    score = metric.corpus_score(translations, references)
    signature = str(metric.get_signature())
    results: dict[str, float | str] = {
        "exact_match": float(
            np.mean([one in others for one, *others in zip(translations, *references, strict=True)])
        ),
        "bleu": score.score,
        "chrf": chrf.corpus_score(translations, references).score,
        "bleu_signature": signature,
        "chrf_signature": str(chrf.get_signature()),
    }
    if len(translations) > 1:
        resampled = bleu(options).corpus_score(translations, references, n_bootstrap=RESAMPLES)
        results["bleu_interval"] = resampled._ci
    return results


def compare(
    systems: Sequence[tuple[str, Sequence[str]]], references: References, options: TranslationEvalOptions
) -> tuple[list[Comparison], str]:
    """Compares the BLEU of systems with that of the first by paired bootstrap resampling.

    Args:
        systems: name and translations of each, two or more.
        references: one or several for each translation.
        options: tokenizer and case of BLEU.

    Returns:
        One comparison per system, and the signature of BLEU.

    Reference: Koehn 2004, https://aclanthology.org/W04-3250
    """
    metric = bleu(options, references)
    test = PairedTest(list(systems), {"BLEU": metric}, None, test_type="bs", n_samples=RESAMPLES)
    signatures, columns = test()
    results: list[Any] = columns["BLEU"]
    compared = []
    for (name, texts), result in zip(systems, results, strict=True):
        p_value = result.p_value
        if p_value is not None and texts == systems[0][1]:
            p_value = 1.0  # With a difference of 0 in every resample sacrebleu reports a small p-value.
        compared.append(Comparison(name, "bleu", result.score, result.ci, p_value))
    return compared, str(next(iter(signatures.values())))
