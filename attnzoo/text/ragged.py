"""Rows of different lengths, stored in two arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Concatenated rows of different lengths, such as the token ids of texts.

    Attributes:
        values: <int32>[values, ...], values of all rows.
        offsets: <int64>[rows + 1], start of each row and end of the last one.

    Examples:
        >>> rows = Ragged.from_lengths(np.array([5, 6, 7]), lengths=np.array([1, 2]))
        >>> rows.padded(np.array([1, 0]), length=3).tolist()
        [[6, 7, 0], [5, 0, 0]]
    """

    values: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def from_lengths(values: np.ndarray, lengths: np.ndarray) -> Ragged:
        """Returns rows of lengths <int>[rows] from their concatenated values <int32>[values, ...]."""
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @staticmethod
    def concatenate(parts: Sequence[Ragged]) -> Ragged:
        """Returns the rows of all parts, in order."""
        empty = Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(0, np.int64))
        values = np.concatenate([part.values for part in (empty, *parts)])
        return Ragged.from_lengths(values, np.concatenate([part.lengths for part in (empty, *parts)]))

    @property
    def lengths(self) -> np.ndarray:
        """Number of values of each row, <int64>[rows]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Returns the rows at indices <int>[taken], in that order."""
        lengths = self.lengths[rows]  # [taken]
        ends = np.cumsum(lengths)  # [taken]
        shifts = np.repeat(self.offsets[rows + 1] - ends, lengths)  # [values]
        return Ragged.from_lengths(self.values[np.arange(len(shifts)) + shifts], lengths)

    def padded(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Returns the rows at indices <int>[taken], truncated or padded with 0: <int32>[taken, length]."""
        positions = self.offsets[rows][:, None] + np.arange(length)  # [taken, length]
        inside = positions < self.offsets[rows + 1][:, None]  # [taken, length]
        padded = np.zeros(positions.shape, np.int32)
        padded[inside] = self.values[positions[inside]]
        return padded
