"""Raw examples: splits that are read by index from any kind of storage. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from attnzoo.errors import UserError
from attnzoo.features.feature import Column, Feature


class Source(Protocol):
    """Storage of the examples of a split: arrays in memory, or files larger than memory."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""

    def __len__(self) -> int:
        """Returns the number of examples."""

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns column -> values of the examples at `indices` <int>[n]."""


class Columns:
    """Columns that are arrays in memory.

    Args:
        columns: name -> array; all of the same length.

    Raises:
        ValueError: the columns differ in length.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"Columns differ in length: {lengths}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns column -> values of the examples at `indices` <int>[n]."""
        return {name: column[indices] for name, column in self.columns.items()}


class Split:
    """The raw examples of one split, by feature.

    Args:
        source: storage of the examples, or feature -> array.
        origin: file, folder or split expression that the examples come from, for messages.

    Raises:
        UserError: the split is empty.
        ValueError: the arrays differ in length.

    Examples:
        >>> texts = np.array(["good", "bad", "fine"], object)
        >>> split = Split({"text": texts, "label": np.array([1, 0, 1])}, "reviews")
        >>> len(split), split.take(np.array([2, 0])).column("text").tolist()
        (3, ['fine', 'good'])
    """

    def __init__(self, source: Source | Mapping[str, Column], origin: str) -> None:
        self.source: Source = Columns(source) if isinstance(source, Mapping) else source
        self.origin = origin
        if len(self) == 0:
            raise UserError(f"{origin}: no examples; at least one is needed.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.source.names

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray) -> dict[str, Column]:
        """Returns column -> values of the examples at `indices` <int>[n]."""
        return self.source.read(indices)

    def column(self, name: str) -> Column:
        """Returns all values of a column, in memory."""
        if isinstance(self.source, Columns):
            return self.source.columns[name]
        return self.read(np.arange(len(self)))[name]

    def take(self, indices: np.ndarray, origin: str | None = None) -> Split:
        """Returns a split of the examples at `indices` <int>[n], in that order."""
        return Split(self.read(indices), origin or self.origin)

    def first(self, count: int) -> Split:
        """Returns a split of the first `count` examples, or of all if there are fewer."""
        return self.take(np.arange(min(count, len(self))))


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """The return value of a data set's `load`.

    Attributes:
        train: examples for training.
        validation: examples for selecting a checkpoint; if None, they are held out of `train` later.
        test: examples for the final evaluation, or None.
        features: features that the data set itself declares, such as a label with its class names.
    """

    train: Split
    validation: Split | None
    test: Split | None
    features: Mapping[str, Feature] = dataclasses.field(default_factory=dict)

    def named(self) -> dict[str, Split]:
        """Returns name -> split, for the splits that exist."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


def split_validation(splits: DataSplits, fraction: float, seed: int) -> DataSplits:
    """Holds out part of train for validation if there is no validation split.

    The choice is stratified (see `Feature.strata`) and is the same for the same seed.

    Args:
        splits: splits of a data set.
        fraction: fraction of train to hold out, above 0 and below 1.
        seed: random seed.
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
    """Returns the stratum of each example of train, <int>[examples], combined over all features."""
    groups = np.zeros(len(splits.train), np.int64)
    for name, feature in splits.features.items():
        strata = feature.strata(splits.train.column(name)) if name in splits.train.names else None
        if strata is not None:
            both = np.stack([groups, strata], axis=1)
            groups = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return groups


def _held_out(order: np.ndarray, held_out: int, groups: np.ndarray) -> np.ndarray:
    """Returns the indices of the held-out examples: the first of `order` in each group, by its size.

    If most groups have a single example, which train needs, groups are ignored.

    Args:
        order: <int>[examples], a permutation.
        held_out: number of examples to hold out, below the number of examples.
        groups: <int>[examples], group of each example.
    """
    _, groups, counts = np.unique(groups, return_inverse=True, return_counts=True)
    wanted = _held_out_counts(counts, held_out)
    if 2 * wanted.sum() < held_out:
        return order[:held_out]
    by_group = order[np.argsort(groups[order], kind="stable")]
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the group
    return by_group[ranks < np.repeat(wanted, counts)]


def _held_out_counts(counts: np.ndarray, total: int) -> np.ndarray:
    """Returns the number of examples to hold out of each group, <int64>[groups]; at least one stays in each.

    At least one is held out of each group of two or more, unless these minimums made up half of the total, or
    the groups are more than the total.

    Args:
        counts: <int>[groups], number of examples of each group.
        total: number of examples to hold out in all.
    """
    available = counts - 1
    exact = np.where(available > 0, counts * (total / max(1, counts[available > 0].sum())), 0.0)
    scarce = np.count_nonzero((available > 0) & (exact < 1))
    fits = 2 * scarce <= total and np.count_nonzero(available) <= total
    minimum = np.minimum(available, 1) if fits else np.zeros_like(available)
    wanted = np.clip(np.floor(exact).astype(np.int64), minimum, available)
    while missing := total - int(wanted.sum()):
        adjustable = np.flatnonzero(wanted < available if missing > 0 else wanted > minimum)
        if not adjustable.size:
            break
        priority = np.sign(missing) * (wanted - exact)[adjustable]
        chosen = adjustable[np.argsort(priority, kind="stable")][: abs(missing)]
        step = np.sign(missing) * max(1, abs(missing) // adjustable.size)
        wanted[chosen] = np.clip(wanted[chosen] + step, minimum[chosen], available[chosen])
    return wanted
