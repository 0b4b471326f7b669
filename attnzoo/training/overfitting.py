"""Says once that the loss of validation keeps rising, and what to try."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from attnzoo.config import RunConfig

RISES = 3
"""The loss has risen in so many evaluations in a row."""
MARGIN = 0.05
"""It is above its minimum by this fraction at least: less may be chance."""


def advice(losses: Sequence[float], config: RunConfig, has_images: bool = False) -> Iterator[str]:
    """Yields a line after the first evaluation of a run at which the loss keeps rising.

    Args:
        losses: of validation at each evaluation of the run so far; those that are not finite are left out.
        config: all options.
        has_images: whether there are images, which augmentation changes.
    """
    if not losses or not math.isfinite(losses[-1]):
        return
    losses = [loss for loss in losses if math.isfinite(loss)]
    if not keeps_rising(losses) or any(keeps_rising(losses[:count]) for count in range(len(losses))):
        return
    model, train = config.model.model_dump(), config.train
    options = [f"train.weight_decay (now {train.weight_decay:g})"]
    if "dropout" in model:
        options.insert(0, f"model.dropout (now {model['dropout']:g})")
    if has_images:
        options.append("data.augment")
    if train.early_stopping_patience is None:
        options.append(f"train.early_stopping_patience={RISES}, which ends such a training sooner")
    kept = "; the weights of the best evaluation are kept" if config.eval.weights == "best" else ""
    cures = f"{', '.join(options[:-1])} or {options[-1]}"
    yield (
        f"validation loss has risen {RISES} times in a row, to {losses[-1]:.4f} from its minimum "
        f"{min(losses):.4f}: the model probably overfits; try {cures}{kept}"
    )


def keeps_rising(losses: Sequence[float]) -> bool:
    """Returns whether each of the last losses is above the one before it, and the last far above the minimum.

    Examples:
        >>> keeps_rising([0.5, 0.3, 0.4, 0.5, 0.6]), keeps_rising([0.5, 0.3, 0.4, 0.3, 0.6])
        (True, False)
    """
    last = losses[-RISES - 1 :]
    if len(last) <= RISES:
        return False
    rises = all(later > earlier for earlier, later in itertools.pairwise(last))
    return rises and last[-1] > min(losses) + MARGIN * abs(min(losses))
