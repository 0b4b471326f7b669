"""A number, for regression."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epy

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature
from attnzoo.features.packing import take
from attnzoo.features.targets import Target
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import json_excerpt
from attnzoo.records.text_files import printable

with epy.lazy_imports():
    import tensorflow as tf

QUANTILES = {"least": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "greatest": 1.0}


class Number(Target):
    """A number, such as a rating or price: a column <float64>[examples].

    Models predict the standardized number `(x - mean) / std`, so the learning rate does not depend on its
    unit.

    Attributes:
        mean: mean of train.
        std: standard deviation of train, above 0; 0 before learning.

    Examples:
        >>> number = Number(mean=20.0, std=5.0)
        >>> number.standardize(np.array([15.0, 30.0])).tolist()
        [-1.0, 2.0]
    """

    kind: Literal["number"] = "number"
    mean: float = 0.0
    std: float = 0.0

    @property
    def num_outputs(self) -> int:
        """Number of model outputs."""
        return 1

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> float:
        """Returns the number of a record: decimal digits in a table, a number or such a string in JSON."""
        number = parse_number(value)
        if number is None:
            got = f"'{printable(value)}'" if isinstance(value, str) else json_excerpt(value)
            raise BadRecord(
                location, "without a number", f"{name!r} must be a number such as 3 or 2.5; got {got}."
            )
        return number

    def declare(self, values: Sequence[float], origin: str, name: str) -> Number:
        """Rejects numbers that are all equal, unless there is nothing to learn any more."""
        if self.std == 0.0 and len(np.unique(values)) < 2:
            raise UserError(
                f"{origin}: every example has the number {values[0]:.12g} in column {name!r}; there is "
                "nothing to learn."
            )
        return self

    def column(self, values: Sequence[float]) -> Column:
        """Returns <float64>[examples]."""
        return np.array(values, np.float64)

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the numbers that `pack` has packed."""
        column = take(arrays, "values", np.float64)
        if not np.isfinite(column).all():
            raise ValueError("values: expected finite numbers")
        return column

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Number:
        """Learns the mean and standard deviation."""
        (column,) = columns
        mean, std = float(np.mean(column, dtype=np.float64)), float(np.std(column, dtype=np.float64))
        if np.ptp(column) == 0.0:
            raise UserError(f"{origin}: every example has the number {mean:.12g}; there is nothing to learn.")
        return self.model_copy(update={"mean": mean, "std": std})

    def standardize(self, numbers: Any) -> Any:
        """Returns (x - mean) / std for an array or tensor, in the same type."""
        return (numbers - self.mean) / self.std

    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the numbers for standardized outputs."""
        return outputs * self.std + self.mean

    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the number."""
        return {"number": float(values[0])}

    def prediction_texts(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the number, without a probability."""
        return [(f"{values[0]:.6g}", "")]

    def true_answer(self, value: Any) -> dict[str, Any]:
        """Returns the true number."""
        return {"true_number": None if value is None else float(value)}

    def format_value(self, value: Any) -> str:
        """Returns the true number."""
        return f"{value:.6g}"

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns quantiles, mean and standard deviation."""
        return {"numbers": {name: statistics(column)}}

    def summary(self, name: str) -> str:
        """Returns the mean and standard deviation."""
        return f"{name} of {self.mean:.4g} ± {self.std:.4g}"

    def problems(self, name: str) -> Iterator[str]:
        """Yields invalid statistics."""
        if not (math.isfinite(self.mean) and 0.0 < self.std < math.inf):
            yield f"{name}.mean, {name}.std: expected finite numbers, std above 0"


def statistics(column: Column) -> dict[str, float]:
    """Returns quantiles, mean and standard deviation of numbers."""
    quantiles = {name: float(np.quantile(column, fraction)) for name, fraction in QUANTILES.items()}
    moments = {"mean": float(column.mean(dtype=np.float64)), "std": float(column.std(dtype=np.float64))}
    return {**quantiles, **moments}


def parse_number(value: Any) -> float | None:
    """Returns a finite number, or None for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # float() also accepts `nan`, `inf`, underscores and digits of other scripts, mistakes in a table.
    plain = not isinstance(value, str) or (value.isascii() and "_" not in value)
    return number if plain and abs(number) <= float(np.finfo(np.float32).max) else None
