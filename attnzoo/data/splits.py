"""Raw examples: splits that are read by index, whatever holds them. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature


class Source(Protocol):
    """What holds the examples of a split: arrays in memory, or files that are larger than it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""

    def __len__(self) -> int:
        """Returns the number of examples."""

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns the values of the examples at `indices` <int>[n], by column."""


class Columns:
    """Arrays in memory, a column each.

    Args:
        columns: name -> array, all of one length.

    Raises:
        ValueError: columns of different lengths.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"Columns differ in length: {lengths}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns the values of the examples at `indices` <int>[n], by column."""
        return {name: column[indices] for name, column in self.columns.items()}


class Split:
    """Raw examples of one split, by feature.

    Args:
        source: what holds them, or arrays by name.
        origin: where they came from (file, folder or split expression), for messages.

    Raises:
        UserError: there is not one example.
        ValueError: arrays of different lengths.
    """

    def __init__(self, source: Source | Mapping[str, Column], origin: str) -> None:
        self.source: Source = Columns(source) if isinstance(source, Mapping) else source
        self.origin = origin
        if len(self) == 0:
            raise UserError(f"{origin}: there is not one example; at least one is needed.")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return self.source.names

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns the values of the examples at `indices` <int>[n], by column."""
        return self.source.read(indices)

    def column(self, name: str) -> Column:
        """Returns all values of a column, in memory."""
        if isinstance(self.source, Columns):
            return self.source.columns[name]
        return self.read(np.arange(len(self)))[name]

    def take(self, indices: np.ndarray, origin: str | None = None) -> Split:
        """Returns the examples at `indices` <int>[n], in that order."""
        return Split(self.read(indices), origin or self.origin)

    def first(self, count: int) -> Split:
        """Returns the first examples, at most `count`."""
        return self.take(np.arange(min(count, len(self))))


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """What a data set's `load` returns.

    Attributes:
        train: examples to learn from.
        validation: examples to select on; held out of `train` later where None.
        test: examples to report on; None where the data set has none.
        features: those of which the data set itself knows something, such as the names of its classes.
    """

    train: Split
    validation: Split | None
    test: Split | None
    features: Mapping[str, Feature] = dataclasses.field(default_factory=dict)

    def named(self) -> dict[str, Split]:
        """Returns the splits that exist, by name."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


def split_validation(splits: DataSplits, fraction: float, seed: int) -> DataSplits:
    """Holds out a part of train where there is no validation split: the same examples for the same seed.

    Of each class it has its share; see `Feature.strata`.
    """
    if splits.validation is not None:
        return splits
    total = len(splits.train)
    held_out = min(total - 1, max(1, round(total * fraction)))
    if held_out < 1:
        return dataclasses.replace(splits, validation=splits.train)
    order = np.random.default_rng(np.random.SeedSequence((seed, 0x5A11D))).permutation(total)
    chosen = np.zeros(total, bool)
    chosen[_held_out(order, held_out, _strata(splits))] = True
    origin = f"{splits.train.origin} ({np.count_nonzero(chosen)} held out for validation)"
    return dataclasses.replace(
        splits,
        train=splits.train.take(np.flatnonzero(~chosen)),
        validation=splits.train.take(np.flatnonzero(chosen), origin),
    )


def _strata(splits: DataSplits) -> np.ndarray:
    """Returns the group <int>[examples] of each example of train: by all features that have some."""
    groups = np.zeros(len(splits.train), np.int64)
    for name, feature in splits.features.items():
        strata = feature.strata(splits.train.column(name)) if name in splits.train.names else None
        if strata is not None:
            both = np.stack([groups, strata], axis=1)
            groups = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return groups


def _held_out(order: np.ndarray, held_out: int, groups: np.ndarray) -> np.ndarray:
    """Returns which examples are held out: the first of `order` in each group, as many as are its share.

    Where most groups have a single example, which train needs, the first of all.

    Args:
        order: <int>[examples], a permutation.
        held_out: how many; below the number of examples.
        groups: <int>[examples].
    """
    _, groups, counts = np.unique(groups, return_inverse=True, return_counts=True)
    wanted = _shares(counts, held_out)
    if 2 * wanted.sum() < held_out:
        return order[:held_out]
    by_group = order[np.argsort(groups[order], kind="stable")]
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # in its group
    return by_group[place < np.repeat(wanted, counts)]


def _shares(counts: np.ndarray, total: int) -> np.ndarray:
    """Returns how many of each group are held out, <int64>[groups]; one at least stays of each.

    Groups of two or more have one held out at least, unless these ones would make up half of all.

    Args:
        counts: <int>[groups], examples of each.
        total: how many are wanted in all.
    """
    room = counts - 1
    exact = np.where(room > 0, counts * (total / max(1, counts[room > 0].sum())), 0.0)
    scarce = np.count_nonzero((room > 0) & (exact < 1))
    least = np.minimum(room, 1) if 2 * scarce <= total else np.zeros_like(room)
    wanted = np.clip(np.floor(exact).astype(np.int64), least, room)
    while missing := total - int(wanted.sum()):
        able = np.flatnonzero(wanted < room if missing > 0 else wanted > least)
        if not able.size:
            break
        nearest = np.sign(missing) * (wanted - exact)[able]
        chosen = able[np.argsort(nearest, kind="stable")][: abs(missing)]
        step = np.sign(missing) * max(1, abs(missing) // able.size)
        wanted[chosen] = np.clip(wanted[chosen] + step, least[chosen], room[chosen])
    return wanted
