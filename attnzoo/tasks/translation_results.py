"""The translations of a split one by one, and the worst of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from sacrebleu.metrics import CHRF

from attnzoo.tasks.translation_metrics import References
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.types import WorstExample

MAX_SHOWN_CHARACTERS = 200
"""Each text of a line is shortened to this."""


def results(
    translations: Sequence[str], sources: Sequence[str], references: References
) -> Iterator[dict[str, Any]]:
    """Yields `source`, `reference`, `other_references` if there are any, and `translation` of each example.

    Examples:
        >>> next(results(["a cat"], ["eine Katze"], [["a cat"]]))
        {'source': 'eine Katze', 'reference': 'a cat', 'translation': 'a cat'}
    """
    for source, translation, first, *others in zip(sources, translations, *references, strict=True):
        more = {"other_references": others} if others else {}
        yield {"source": source, "reference": first, **more, "translation": translation}


def worst(
    translations: Sequence[str],
    sources: Sequence[str],
    references: References,
    options: TranslationEvalOptions,
    count: int,
) -> list[WorstExample]:
    """Returns the translations with the lowest chrF (0 to 100) of their own, without those that are exact.

    Args:
        translations: one for each source.
        sources: the source texts.
        references: one or several for each translation.
        options: whether case counts.
        count: number of examples, at most.
    """
    chrf = CHRF(lowercase=options.bleu_lowercase)
    scores = {
        index: chrf.sentence_score(one, others).score
        for index, (one, *others) in enumerate(zip(translations, *references, strict=True))
        if one not in others
    }
    rows = list(results(translations, sources, references))
    examples = []
    for index in heapq.nsmallest(count, scores, key=lambda one: scores[one]):
        source, reference, translation = (
            " ".join(rows[index][key].split())[:MAX_SHOWN_CHARACTERS]
            for key in ("source", "reference", "translation")
        )
        text = f"chrF {scores[index]:.1f}  source {source}  reference {reference}  translation {translation}"
        examples.append(WorstExample(f"number {index}", {**rows[index], "chrf": scores[index]}, text))
    return examples
