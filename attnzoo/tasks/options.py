"""Training options that several tasks share. Imports no TensorFlow."""

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
        description="R-Drop: weight of the divergence between two predictions of each batch, made with "
        "different dropout; 0 = off, 1 to 5 are common.",
    )


def cross_entropy_weights(training: TrainOptions | None) -> tuple[float, float]:
    """Returns label smoothing and the weight of R-Drop; both are 0 in evaluations (`training` is None)."""
    if training is None:
        return 0.0, 0.0
    assert isinstance(training, CrossEntropyOptions)
    return training.label_smoothing, training.r_drop


def r_drop_problems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Yields a problem if R-Drop is on and the model has no dropout, so that both passes are the same."""
    _, r_drop = cross_entropy_weights(config.train)
    if r_drop and not _uses_dropout(config.model.model_dump()):
        what = "this model has no dropout, so the two passes would be identical; set model.dropout"
        yield ("train", "r_drop"), what


def _uses_dropout(value: Any) -> bool:
    """Whether a dropout rate anywhere in nested options is above 0."""
    if isinstance(value, dict):
        rates = (rate for key, rate in value.items() if key.endswith("dropout") or key == "drop_path")
        return any(rates) or any(map(_uses_dropout, value.values()))
    return isinstance(value, list) and any(map(_uses_dropout, value))
