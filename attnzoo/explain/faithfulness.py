"""Whether a classifier goes by the tokens that it attends to: what it says when they are taken away."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.data import tokenizers
from attnzoo.errors import UserError
from attnzoo.explain.attention import load_classifier
from attnzoo.run_dir import MANY, TrainedRun, chosen_split
from attnzoo.tasks import answers, text_attention
from attnzoo.tasks.attended import choose_layer
from attnzoo.tasks.classification import predictor

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of a text's tokens that are removed."""
RANDOM_ORDERS = 5
NORMAL_95 = 1.96
"""Half the width of the 95 % interval of a normal distribution, in standard errors."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """What a model says of texts from which tokens are removed in one order.

    Attributes:
        probability: for each share, the mean probability of the class that it said of the whole texts.
        changed: for each share, the share of texts of which it says another class, 0 to 1.
        area: over the curve: the mean drop of that probability over all shares and texts.
    """

    probability: list[float]
    changed: list[float]
    area: float


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Removing the most attended tokens against removing others.

    Attributes:
        run, split, examples, layer: what was measured.
        shares: shares of the tokens that were removed.
        attention: most attended tokens first.
        random: tokens drawn at random, mean over `RANDOM_ORDERS` draws.
        least: least attended tokens first.
        random_areas: area of each draw.
        advantage: area of attention less that of random.
        interval: half the width of the 95 % interval of the advantage, over the texts.
    """

    run: str
    split: str
    examples: int
    layer: str
    shares: Sequence[float]
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


def faithfulness(
    folder: Path, split: str | None = None, count: int = 200, layer: str | None = None
) -> Faithfulness:
    """Removes tokens from texts of a split and measures what the model says then.

    A removed token is gone: those behind it move up. At least one token of a text is always left. Tokens of
    equal weight come in random order.

    Args:
        folder: a run of a text classifier.
        split: "train", "validation" or "test"; None for test, or validation where there is no test.
        count: number of examples, 2 or more, drawn from the split at random, the same at every call.
        layer: name of the attention; None for the one nearest to the output.

    Raises:
        UserError: no such run, split or layer, another task, fewer than 2 texts with a token (2), damaged
            weights (4).

    Reference: area over the perturbation curve: Samek et al. 2017, https://arxiv.org/abs/1509.06321;
        comprehensiveness: DeYoung et al. 2020, https://arxiv.org/abs/1911.03429; why to measure: Jain &
        Wallace 2019, https://arxiv.org/abs/1902.10186
    """
    trained = load_classifier(folder)
    layer = choose_layer(trained.model, layer)
    name, chosen = chosen_split(trained, split)
    drawn = np.sort(np.random.default_rng(0).permutation(len(chosen))[:count])
    tokenizer = tokenizers.from_state(trained.info.tokenizers["text"])
    longest = answers.lengths_of(trained.info, "text")[-1]
    encoded = answers.encode(tokenizer, [chosen.columns["text"][index] for index in drawn])
    rows = [row[:longest] for row in encoded if len(row)]
    if len(rows) < 2:
        raise UserError(f"{chosen.origin}: {len(rows)} text(s) with a token; at least 2 are needed.")
    attended = text_attention.attender(trained.model, trained.info, layer)(rows)
    orders = [removal_orders(one.weights, index) for index, one in enumerate(attended)]
    original, said = _probabilities_without(trained, rows, orders)
    drops = (original[:, :, :1] - original).mean(axis=2)  # [examples, orders]
    areas = drops.mean(axis=0)  # [orders]
    gains = drops[:, 0] - drops[:, 2:].mean(axis=1)  # [examples]
    changed = said != said[:, :, :1]

    def curve(numbers: slice) -> Curve:
        probability, other = (values[:, numbers].mean(axis=(0, 1)).tolist() for values in (original, changed))
        return Curve(probability, other, float(areas[numbers].mean()))

    return Faithfulness(
        run=str(folder),
        split=name,
        examples=len(rows),
        layer=layer,
        shares=SHARES,
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


def without(row: np.ndarray, order: np.ndarray, share: float) -> np.ndarray:
    """Returns token ids <int32>[kept] of a row without the first `share` of an order, rounded up."""
    removed = min(math.ceil(share * len(row)), len(row) - 1)
    return np.delete(row, order[:removed])


def _probabilities_without(
    trained: TrainedRun, rows: Sequence[np.ndarray], orders: Sequence[Sequence[np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the model says of texts from which tokens are removed.

    Returns:
        The probability of the class that it says of the whole text, <float32>[examples, orders, shares], and
        the class that it says, <int>[examples, orders, shares].
    """
    variants = [
        without(row, order, share)
        for row, its_orders in zip(rows, orders, strict=True)
        for order in its_orders
        for share in SHARES
    ]
    lengths = answers.lengths_of(trained.info, "text")
    run: Any = predictor([trained.answering], trained.info, trained.config.eval, xla=len(variants) >= MANY)
    found = np.zeros([len(variants), trained.info.num_classes], np.float32)
    for chosen, ids in answers.in_batches(variants, lengths):
        found[chosen] = run({"text": ids}).numpy()[: len(chosen)]
    found = found.reshape([len(rows), len(orders[0]), len(SHARES), -1])
    said = found.argmax(axis=-1)
    return np.take_along_axis(found, said[:, :, :1, None], axis=-1)[..., 0], said
