"""Options of training that several tasks have.

Imports no TensorFlow before it is asked for its work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from attnzoo.config import RunConfig
from attnzoo.config.base import Rate
from attnzoo.config.sections import TrainOptions
from attnzoo.config.source import KeyPath


class CrossEntropyOptions(TrainOptions):
    """Options of tasks whose loss is a cross entropy."""

    label_smoothing: Rate = Field(0.0, description="Probability spread over all classes, 0 to 1.")
    r_drop: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="R-Drop: weight of a loss that draws two predictions for each batch, made with "
        "different dropout, together; 0 = off, 1 to 5 are common.",
    )


def cross_entropy_weights(training: TrainOptions | None) -> tuple[float, float]:
    """Returns label smoothing and the weight of R-Drop; both are 0 in evaluations (None)."""
    if training is None:
        return 0.0, 0.0
    assert isinstance(training, CrossEntropyOptions)
    return training.label_smoothing, training.r_drop


def r_drop_problems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Yields that two passes would be the same: they differ by what is dropped."""
    _, r_drop = cross_entropy_weights(config.train)
    if r_drop and not _drops(config.model.model_dump()):
        what = "nothing is dropped in this model, so both passes would be the same; set model.dropout"
        yield ("train", "r_drop"), what


def _drops(value: Any) -> bool:
    """Whether some option in nested ones is a share to drop above 0."""
    if isinstance(value, dict):
        shares = (share for key, share in value.items() if key.endswith("dropout") or key == "drop_path")
        return any(shares) or any(map(_drops, value.values()))
    return isinstance(value, list) and any(map(_drops, value))
