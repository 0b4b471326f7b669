"""Answers of classifiers with their most probable labels only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attnzoo.tasks.types import Predictor

KEY, ALL = "top", "probabilities"


def limited(predictor: Predictor, count: int | None) -> Predictor:
    """Returns a predictor whose answers have the `count` most probable labels; None for all of them."""
    if count is None:
        return predictor
    return lambda inputs: [limited_answer(answer, count) for answer in predictor(inputs)]


def limited_answer(answer: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Returns an answer with `top`, a list of labels and probabilities, best first, for `probabilities`.

    Examples:
        >>> limited_answer({"label": "a", "probabilities": {"b": 0.3, "a": 0.7}}, 1)
        {'label': 'a', 'top': [{'label': 'a', 'probability': 0.7}]}
    """
    ranked = sorted(answer[ALL].items(), key=lambda pair: -pair[1])[:count]
    top = [{"label": label, "probability": probability} for label, probability in ranked]
    return dict((KEY, top) if key == ALL else (key, value) for key, value in answer.items())


def line(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Returns labels and their probabilities as one line of text.

    Examples:
        >>> line([{"label": "a", "probability": 0.7}, {"label": "b", "probability": 0.25}])
        'a\\t0.7000\\tb\\t0.2500'
    """
    return "\t".join(f"{' '.join(pair['label'].splitlines())}\t{pair['probability']:.4f}" for pair in pairs)
