"""Examples that train shares with the splits that a model is judged by."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataWarning
from attnzoo.features.feature import Feature

SHARED = ".*examples are in train too"
"""How the warning of `warn_of_shared_examples` reads."""


def warn_of_shared_examples(splits: DataSplits, features: Mapping[str, Feature]) -> None:
    """Issues a `DataWarning` for each split of which examples are in train too, with their number.

    Examples are the same if their texts or the bytes of their images are; labels do not count.
    """
    for name, split in splits.named().items():
        shared = shared_indices(splits.train, split, features) if name != "train" else np.array([])
        if shared.size:
            warnings.warn(
                f"{split.origin}: {shared.size:,} of {len(split):,} {name} examples are in train too, the "
                f"first is number {shared[0]}; the scores say less about new data than they seem to.",
                DataWarning,
                stacklevel=2,
            )


def shared_indices(train: Split, other: Split, features: Mapping[str, Feature]) -> np.ndarray:
    """Returns <int64>[shared]: which examples of `other` occur in `train`."""
    known, contents = _contents([train, other], features)
    known_contents = set(known)
    return np.flatnonzero([content in known_contents for content in contents])


def num_repeated(split: Split, features: Mapping[str, Feature]) -> int:
    """Returns how many examples of a split are there before, by what `shared_indices` goes by."""
    (contents,) = _contents([split], features)
    return len(contents) - len(set(contents))


def _contents(splits: Sequence[Split], features: Mapping[str, Feature]) -> list[list[Hashable]]:
    """Returns what tells the examples of each split apart."""
    by_feature = [
        feature.contents([split.column(name) for split in splits])
        for name, feature in features.items()
        if feature.is_content
    ]
    return [
        list(zip(*(contents[number] for contents in by_feature), strict=True))
        for number in range(len(splits))
    ]
