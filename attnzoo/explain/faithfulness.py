"""Whether a classifier goes by the tokens that it attends to: what it says when they are taken away."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from attnzoo.errors import UserError

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of a text's tokens that are removed."""
RANDOM_ORDERS = 5
NORMAL_95 = 1.96
"""Half the width of the 95 % interval of a normal distribution, in standard errors."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """What a model says of texts from which tokens are removed in one order.

    Attributes:
        probability: for each fraction, the mean probability of the class that it said of the whole texts.
        changed: for each fraction, the fraction of texts of which it says another class, 0 to 1.
        area: over the curve: the mean drop of that probability over all fractions and texts.
    """

    probability: list[float]
    changed: list[float]
    area: float


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Removing the most attended tokens against removing others.

    Attributes:
        split, examples, layer: what was measured.
        fractions: fractions of the tokens that were removed.
        attention: most attended tokens first.
        random: tokens drawn at random, mean over `RANDOM_ORDERS` draws.
        least: least attended tokens first.
        random_areas: area of each draw.
        advantage: area of attention less that of random.
        interval: half the width of the 95 % interval of the advantage, over the texts.
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
        """One sentence for people."""
        figures = f"{self.advantage:+.4f} ± {self.interval:.4f} in area"
        if self.advantage > self.interval:
            return (
                f"Attention above random ({figures}): the tokens it looks at matter more to what it says "
                "than others."
            )
        if self.advantage < -self.interval:
            return (
                f"Attention below random ({figures}): the tokens it looks at matter less than others; "
                "do not read them as its reasons."
            )
        return (
            f"Attention like random ({figures}): {self.examples} texts show no difference; do not read the "
            "tokens it looks at as its reasons."
        )

    def to_json(self) -> str:
        """Returns all of it, with its meaning, on one line."""
        return json.dumps({**dataclasses.asdict(self), "meaning": self.meaning}, ensure_ascii=False)


@dataclasses.dataclass(frozen=True)
class TextWithAttention:
    """A text as a model sees it.

    Attributes:
        ids: token ids <int32>[tokens], one or more.
        weights: the attention that each received, <float>[tokens].
    """

    ids: np.ndarray
    weights: np.ndarray


Probabilities = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From token ids <int32>[tokens] of texts to the probabilities of classes <float>[texts, classes]."""


def measure(
    texts: Sequence[TextWithAttention], probabilities: Probabilities, *, split: str, layer: str
) -> Faithfulness:
    """Removes tokens from texts and measures what a model says then.

    A removed token is gone: those behind it move up. At least one token of a text is always left. Tokens of
    equal weight come in random order.

    Args:
        texts: 2 or more.
        probabilities: what the model says.
        split, layer: names of what is measured.

    Raises:
        UserError: fewer than 2 texts (2).

    Reference: area over the perturbation curve: Samek et al. 2017, https://arxiv.org/abs/1509.06321;
        comprehensiveness: DeYoung et al. 2020, https://arxiv.org/abs/1911.03429; why to measure: Jain &
        Wallace 2019, https://arxiv.org/abs/1902.10186
    """
    if len(texts) < 2:
        raise UserError(f"{split}: {len(texts)} text(s) with a token; at least 2 are needed.")
    orders = [removal_orders(one.weights, index) for index, one in enumerate(texts)]
    original, said = _probabilities_without([one.ids for one in texts], orders, probabilities)
    drops = (original[:, :, :1] - original).mean(axis=2)  # [examples, orders]
    areas = drops.mean(axis=0)  # [orders]
    gains = drops[:, 0] - drops[:, 2:].mean(axis=1)  # [examples]
    changed = said != said[:, :, :1]

    def curve(numbers: slice) -> Curve:
        probability, other = (values[:, numbers].mean(axis=(0, 1)).tolist() for values in (original, changed))
        return Curve(probability, other, float(areas[numbers].mean()))

    return Faithfulness(
        split=split,
        examples=len(texts),
        layer=layer,
        fractions=FRACTIONS,
        attention=curve(slice(0, 1)),
        random=curve(slice(2, None)),
        least=curve(slice(1, 2)),
        random_areas=areas[2:].tolist(),
        advantage=float(gains.mean()),
        interval=float(NORMAL_95 * gains.std(ddof=1) / math.sqrt(len(gains))),
    )


def removal_orders(weights: np.ndarray, index: int) -> list[np.ndarray]:
    """Returns orders in which to remove tokens: most attended first, least first, then random ones.

    Args:
        weights: <float>[tokens].
        index: of the text; every text has random orders of its own.
    """
    generators = [np.random.default_rng((seed, index)) for seed in range(RANDOM_ORDERS)]
    ties = generators[0].random(len(weights))
    least_first = np.lexsort((ties, weights))
    return [least_first[::-1], least_first, *(one.permutation(len(weights)) for one in generators)]


def without(row: np.ndarray, order: np.ndarray, fraction: float) -> np.ndarray:
    """Returns token ids <int32>[kept] of a row without the first `fraction` of an order, rounded up."""
    removed = min(math.ceil(fraction * len(row)), len(row) - 1)
    return np.delete(row, order[:removed])


def _probabilities_without(
    rows: Sequence[np.ndarray], orders: Sequence[Sequence[np.ndarray]], probabilities: Probabilities
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the model says of texts from which tokens are removed.

    Returns:
        The probability of the class that it says of the whole text, <float>[examples, orders, fractions], and
        the class that it says, <int>[examples, orders, fractions].
    """
    variants = [
        without(row, order, fraction)
        for row, its_orders in zip(rows, orders, strict=True)
        for order in its_orders
        for fraction in FRACTIONS
    ]
    values = probabilities(variants).astype(np.float32)
    values = values.reshape([len(rows), len(orders[0]), len(FRACTIONS), -1])
    said = values.argmax(axis=-1)
    return np.take_along_axis(values, said[:, :, :1, None], axis=-1)[..., 0], said
