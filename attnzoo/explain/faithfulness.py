"""Faithfulness of attention: whether predictions change when the most attended tokens are removed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from attnzoo.errors import UserError

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Fractions of a text's tokens that are removed."""
RANDOM_ORDERS = 5
NORMAL_95 = 1.96
"""Half the width of the 95 % interval of a normal distribution, in standard errors."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Predictions for texts from which tokens are removed in one order.

    Attributes:
        probability: for each fraction, the mean probability of the class predicted for the whole text.
        changed: for each fraction, the fraction of texts whose predicted class changes, 0 to 1.
        area: area over the curve: the mean drop of that probability over all fractions and texts.
    """

    probability: list[float]
    changed: list[float]
    area: float


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Removal of the most attended tokens compared with removal of others.

    Attributes:
        split, examples, layer: what was measured.
        fractions: fractions of the tokens that were removed.
        attention: curve for removing the most attended tokens first.
        random: curve for removing tokens in random order, mean over `RANDOM_ORDERS` orders.
        least: curve for removing the least attended tokens first.
        random_areas: area of each random order.
        advantage: area of `attention` minus area of `random`.
        interval: half the width of the 95 % interval of the advantage over texts.
    """

    split: str
    examples: int
    layer: str
    fractions: Sequence[float]
    attention: Curve
    random: Curve
    least: Curve
    random_areas: list[float]
    advantage: float
    interval: float

    @property
    def meaning(self) -> str:
        """The result as a human-readable sentence."""
        figures = f"{self.advantage:+.4f} ± {self.interval:.4f} in area"
        if self.advantage > self.interval:
            return (
                f"Attention is better than random ({figures}): predictions depend more on the most attended "
                "tokens than on others."
            )
        if self.advantage < -self.interval:
            return (
                f"Attention is worse than random ({figures}): predictions depend less on the most attended "
                "tokens than on others; do not interpret attention as an explanation."
            )
        return (
            f"Attention is no better than random ({figures}): {self.examples} texts show no difference; do "
            "not interpret attention as an explanation."
        )

    def to_json(self) -> str:
        """Returns all attributes and `meaning` as one line of JSON."""
        return json.dumps({**dataclasses.asdict(self), "meaning": self.meaning}, ensure_ascii=False)


@dataclasses.dataclass(frozen=True)
class TextWithAttention:
    """A tokenized text and the attention to its tokens.

    Attributes:
        ids: token ids <int32>[tokens], one or more.
        weights: attention received by each token, <float>[tokens].
    """

    ids: np.ndarray
    weights: np.ndarray


Probabilities = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From token ids <int32>[tokens] of texts to class probabilities <float>[texts, classes]."""


def measure_faithfulness(
    texts: Sequence[TextWithAttention], probabilities: Probabilities, *, split: str, layer: str
) -> Faithfulness:
    """Removes tokens from texts and measures how the predictions of a model change.

    The tokens after a removed one move up, and at least one token of a text remains. Tokens of equal weight
    are removed in random order.

    Args:
        texts: two or more texts.
        probabilities: the model.
        split, layer: names for the report.

    Raises:
        UserError: fewer than 2 texts (2).

    Reference: area over the perturbation curve: Samek et al. 2017, https://arxiv.org/abs/1509.06321;
        comprehensiveness: DeYoung et al. 2020, https://arxiv.org/abs/1911.03429; why to measure: Jain &
        Wallace 2019, https://arxiv.org/abs/1902.10186
    """
    if len(texts) < 2:
        raise UserError(f"{split}: {len(texts)} text(s) with tokens; at least 2 are needed.")
    orders = [removal_orders(one.weights, index) for index, one in enumerate(texts)]
    original, predicted = _predict_without_tokens([one.ids for one in texts], orders, probabilities)
    drops = (original[:, :, :1] - original).mean(axis=2)  # [examples, orders]
    areas = drops.mean(axis=0)  # [orders]
    advantages = drops[:, 0] - drops[:, 2:].mean(axis=1)  # [examples]
    changed = predicted != predicted[:, :, :1]

    def curve(chosen: slice) -> Curve:
        probability, fraction = (
            values[:, chosen].mean(axis=(0, 1)).tolist() for values in (original, changed)
        )
        return Curve(probability, fraction, float(areas[chosen].mean()))

    return Faithfulness(
        split=split,
        examples=len(texts),
        layer=layer,
        fractions=FRACTIONS,
        attention=curve(slice(0, 1)),
        random=curve(slice(2, None)),
        least=curve(slice(1, 2)),
        random_areas=areas[2:].tolist(),
        advantage=float(advantages.mean()),
        interval=float(NORMAL_95 * advantages.std(ddof=1) / math.sqrt(len(advantages))),
    )


def removal_orders(weights: np.ndarray, index: int) -> list[np.ndarray]:
    """Returns orders in which to remove tokens: most attended first, least first, then random ones.

    Args:
        weights: <float>[tokens].
        index: index of the text, which seeds its random orders.
    """
    generators = [np.random.default_rng((seed, index)) for seed in range(RANDOM_ORDERS)]
    ties = generators[0].random(len(weights))
    least_first = np.lexsort((ties, weights))
    return [least_first[::-1], least_first, *(one.permutation(len(weights)) for one in generators)]


def remove_tokens(row: np.ndarray, order: np.ndarray, fraction: float) -> np.ndarray:
    """Returns token ids <int32>[kept] of a row without the first `fraction` of an order, rounded up.

    Examples:
        >>> remove_tokens(np.array([7, 8, 9]), order=np.array([2, 0, 1]), fraction=0.5)
        array([8])
    """
    removed = min(math.ceil(fraction * len(row)), len(row) - 1)
    return np.delete(row, order[:removed])


def _predict_without_tokens(
    rows: Sequence[np.ndarray], orders: Sequence[Sequence[np.ndarray]], probabilities: Probabilities
) -> tuple[np.ndarray, np.ndarray]:
    """Returns predictions for texts from which tokens are removed.

    Returns:
        The probability of the class predicted for the whole text, <float>[examples, orders, fractions], and
        the predicted class, <int>[examples, orders, fractions].
    """
    variants = [
        remove_tokens(row, order, fraction)
        for row, row_orders in zip(rows, orders, strict=True)
        for order in row_orders
        for fraction in FRACTIONS
    ]
    values = probabilities(variants).astype(np.float32)
    values = values.reshape([len(rows), len(orders[0]), len(FRACTIONS), -1])
    predicted = values.argmax(axis=-1)
    return np.take_along_axis(values, predicted[:, :, :1, None], axis=-1)[..., 0], predicted
