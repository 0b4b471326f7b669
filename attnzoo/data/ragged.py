"""Rows of different lengths in two arrays."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows one after another, such as the token ids of texts. Make one of its rows' lengths with `of`.

    Attributes:
        values: <int32>[values, ...] of all rows; at least one, that of no row where all rows are empty.
        offsets: <int64>[rows + 1], where each row starts and the last one ends.
    """

    values: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(values: np.ndarray, lengths: np.ndarray) -> Ragged:
        """Returns rows of <int>[rows] lengths that have <int32>[values, ...] one after another."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Ragged(values if len(values) else np.zeros((1, *values.shape[1:]), np.int32), offsets)

    @property
    def lengths(self) -> np.ndarray:
        """<int64>[rows], values a row."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Returns the rows of numbers <int>[taken], in this order."""
        lengths = self.lengths[rows]  # [taken]
        taken = Ragged.of(self.values[:0], lengths)
        moves = self.offsets[rows] - taken.offsets[:-1]  # [taken]
        places = np.arange(taken.offsets[-1]) + np.repeat(moves, lengths)  # [values]
        return Ragged.of(self.values[places], lengths)

    def padded(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Returns the rows of numbers <int>[taken], cut or padded with 0: <int32>[taken, length]."""
        places = self.offsets[rows][:, None] + np.arange(length)  # [taken, length]
        inside = places < self.offsets[rows + 1][:, None]  # [taken, length]
        return np.where(inside, self.values[np.minimum(places, len(self.values) - 1)], np.int32(0))
