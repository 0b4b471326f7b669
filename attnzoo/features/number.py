"""A number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from etils import epy

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature, Target
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import shown_json
from attnzoo.records.text_files import shown

with epy.lazy_imports():
    import tensorflow as tf

QUANTILES = {"least": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "greatest": 1.0}


class Number(Target):
    """A number, such as stars or a price: a column <float64>[examples].

    Models give it in standard deviations from the mean of train, `(x - mean) / std`, so that a target of any
    unit and size is learned at the same rate.

    Attributes:
        mean: of train.
        std: standard deviation of train, above 0; 0 before learning.
    """

    kind: Literal["number"] = "number"
    mean: float = 0.0
    std: float = 0.0

    @property
    def num_outputs(self) -> int:
        """Numbers that a model gives for it."""
        return 1

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> float:
        """Returns the number of a record: of a table by its decimal digits, of JSON a number."""
        number = _parse(value)
        if number is None:
            got = f"'{shown(value)}'" if isinstance(value, str) else shown_json(value)
            raise BadRecord(
                place, "without a number", f"{name!r} must be a number such as 3 or 2.5; got {got}."
            )
        return number

    def declare(self, values: Sequence[float], origin: str, name: str) -> Number:
        """Refuses numbers of which there is nothing to learn."""
        if len(np.unique(values)) < 2:
            raise UserError(
                f"{origin}: every example has the number {values[0]:.12g} in column {name!r}; there is "
                "nothing to learn."
            )
        return self

    def column(self, values: Sequence[float]) -> Column:
        """Returns <float64>[examples]."""
        return np.array(values, np.float64)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Number:
        """Learns mean and standard deviation."""
        (column,) = columns
        mean, std = float(np.mean(column, dtype=np.float64)), float(np.std(column, dtype=np.float64))
        if np.ptp(column) == 0.0:
            raise UserError(f"{origin}: every example has the number {mean:.12g}; there is nothing to learn.")
        return self.model_copy(update={"mean": mean, "std": std})

    def standardize(self, numbers: Any) -> Any:
        """Returns (x - mean) / std of an array or a tensor, of the same type."""
        return (numbers - self.mean) / self.std

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the numbers of which the outputs are the standardized ones."""
        return outputs * self.std + self.mean

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the number."""
        return {"number": float(values[0])}

    def said(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the number, with nothing about how sure it is."""
        return [(f"{values[0]:.6g}", "")]

    def truth(self, value: Any) -> dict[str, Any]:
        """Returns the true number."""
        return {"true_number": None if value is None else float(value)}

    def shown(self, value: Any) -> str:
        """Returns the true number."""
        return f"{value:.6g}"

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns quantiles, mean and standard deviation."""
        quantiles = {word: float(np.quantile(column, share)) for word, share in QUANTILES.items()}
        moments = {"mean": float(column.mean(dtype=np.float64)), "std": float(column.std(dtype=np.float64))}
        return {"numbers": {name: {**quantiles, **moments}}}

    def phrase(self, name: str) -> str:
        """Returns mean and standard deviation."""
        return f"{name} of {self.mean:.4g} ± {self.std:.4g}"

    def problems(self, name: str) -> Iterator[str]:
        """Yields statistics that no numbers have."""
        if not (math.isfinite(self.mean) and 0.0 < self.std < math.inf):
            yield f"{name}.mean, {name}.std: expected finite numbers, the deviation above 0"


def _parse(value: Any) -> float | None:
    """Returns a finite number, or None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # float() also takes `nan`, `inf`, underscores and digits of other scripts, which nobody means in a table.
    plain = not isinstance(value, str) or (value.isascii() and "_" not in value)
    return number if plain and abs(number) <= float(np.finfo(np.float32).max) else None
