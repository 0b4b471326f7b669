"""The weight of an example in the training loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from attnzoo.config.sections import DataOptions
from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature
from attnzoo.features.number import parse_number, statistics
from attnzoo.features.packing import take
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import json_excerpt
from attnzoo.records.text_files import printable


class WeightOptions(DataOptions):
    """Options of data with weights of examples."""

    weight: str | None = Field(
        None,
        description="Column (jsonl: key) of the training files with the weight of each example in the loss "
        "of training, a number of at least 0. Only ratios matter: weights are divided by their mean. "
        "Evaluations count every example once. Default: all have the same weight.",
    )


class Weight(Feature):
    """Weights of the examples in the training loss: a column <float64>[examples] of at least 0.

    The loss of a step is sum_i w_i l_i / sum_i w_i over its examples or tokens i, with losses l_i and weights
    w_i that have a mean of 1 over train. Metrics of training are weighted too, those of evaluations are not.

    Attributes:
        mean: mean of train, above 0; 0 before learning.
        least: smallest weight of train.
        greatest: largest weight of train.

    Examples:
        >>> weight = Weight(mean=2.0, least=1.0, greatest=3.0)
        >>> weight.encode(np.array([1.0, 3.0])).tolist()
        [0.5, 1.5]
    """

    is_optional: ClassVar[bool] = True
    in_batches: ClassVar[bool] = False
    is_weight: ClassVar[bool] = True
    Options: ClassVar[type[DataOptions]] = WeightOptions

    kind: Literal["weight"] = "weight"
    mean: float = 0.0
    least: float = 0.0
    greatest: float = 0.0

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> float:
        """Returns the weight of a record: decimal digits in a table, a number or such a string in JSON."""
        number = parse_number(value)
        if number is None or number < 0.0:
            got = f"'{printable(value)}'" if isinstance(value, str) else json_excerpt(value)
            message = f"{name!r} must be a weight of at least 0, such as 1 or 0.5; got {got}."
            raise BadRecord(location, "without a weight", message)
        return number

    def column(self, values: Sequence[float]) -> Column:
        """Returns <float64>[examples]."""
        return np.array(values, np.float64)

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Weight:
        """Learns the mean and the range."""
        (column,) = columns
        least, greatest = float(column.min()), float(column.max())
        if greatest == 0.0:
            raise UserError(f"{origin}: every example has the weight 0; expected some above 0.")
        # Rounding may put the mean of equal numbers beside them.
        mean = min(max(float(np.mean(column)), least), greatest)
        return self.model_copy(update={"mean": mean, "least": least, "greatest": greatest})

    def encode(self, column: Column) -> np.ndarray:
        """Returns weights with a mean of 1 over train, <float32>[examples]."""
        return (column / self.mean).astype(np.float32)

    def graph_batch(self, encoded: Any) -> Any:
        """Raises an error, as batches have their own weights."""
        raise NotImplementedError("weights of examples are not among the features of batches")

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the weights that `pack` has packed."""
        column = take(arrays, "values", np.float64)
        if not np.all(np.isfinite(column) & (column >= 0.0)):
            raise ValueError("a weight below 0, or not finite")
        return column

    def describe(self, name: str, column: Column, encoded: np.ndarray) -> dict[str, Any]:
        """Returns quantiles, mean and standard deviation."""
        return {"numbers": {name: statistics(column)}}

    def summary(self, name: str) -> str:
        """Returns the range."""
        return f"weights of {self.least:.4g} to {self.greatest:.4g} in the training loss"

    def data_notes(self, encoded: Mapping[str, Any]) -> Iterator[str]:
        """Yields weights that are all equal."""
        if self.least == self.greatest:
            yield f"every example of train has the weight {self.least:.4g}, which changes nothing."

    def problems(self, name: str) -> Iterator[str]:
        """Yields an invalid mean."""
        if not 0.0 <= self.least <= self.mean <= self.greatest < math.inf or self.mean == 0.0:
            yield f"{name}.mean: expected a number above 0, from {name}.least to {name}.greatest"
