"""Rows of different lengths in two arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows one after another, such as the token ids of texts. Make one of its rows' lengths with `of`.

    Attributes:
        values: <int32>[values, ...] of all rows.
        offsets: <int64>[rows + 1], where each row starts and the last one ends.
    """

    values: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(values: np.ndarray, lengths: np.ndarray) -> Ragged:
        """Returns rows of <int>[rows] lengths that have <int32>[values, ...] one after another."""
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @staticmethod
    def joined(parts: Sequence[Ragged]) -> Ragged:
        """Returns the rows of one part after those of another."""
        none = Ragged.of(np.zeros(0, np.int32), np.zeros(0, np.int64))
        values = np.concatenate([part.values for part in (none, *parts)])
        return Ragged.of(values, np.concatenate([part.lengths for part in (none, *parts)]))

    @property
    def lengths(self) -> np.ndarray:
        """<int64>[rows], values a row."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Returns the rows of numbers <int>[taken], in this order."""
        lengths = self.lengths[rows]  # [taken]
        ends = np.cumsum(lengths)  # [taken]
        moves = np.repeat(self.offsets[rows + 1] - ends, lengths)  # [values]
        return Ragged.of(self.values[np.arange(len(moves)) + moves], lengths)

    def padded(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Returns the rows of numbers <int>[taken], cut or padded with 0: <int32>[taken, length]."""
        places = self.offsets[rows][:, None] + np.arange(length)  # [taken, length]
        inside = places < self.offsets[rows + 1][:, None]  # [taken, length]
        padded = np.zeros(places.shape, np.int32)
        padded[inside] = self.values[places[inside]]
        return padded
