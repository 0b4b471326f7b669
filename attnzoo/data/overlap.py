"""Examples of train that also occur in the splits used for evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataWarning
from attnzoo.features.feature import Feature

SHARED = ".*examples are in train too"
"""Pattern of the message of `warn_about_shared_examples`."""


def warn_about_shared_examples(splits: DataSplits, features: Mapping[str, Feature]) -> None:
    """Issues a `DataWarning` with the number of shared examples for each split that has examples of train.

    Examples are equal if their texts or the bytes of their images are equal; labels are not compared.
    """
    for name, split in splits.named().items():
        shared = shared_indices(splits.train, split, features) if name != "train" else np.array([])
        if shared.size:
            warnings.warn(
                f"{split.origin}: {shared.size:,} of {len(split):,} {name} examples are in train too (first: "
                f"number {shared[0]}), so the metrics may be better than on new data.",
                DataWarning,
                stacklevel=2,
            )


def shared_indices(train: Split, other: Split, features: Mapping[str, Feature]) -> np.ndarray:
    """Returns <int64>[shared]: indices of the examples of `other` that occur in `train`."""
    train_contents, contents = _contents([train, other], features)
    known = set(train_contents)
    return np.flatnonzero([content in known for content in contents])


def num_duplicates(split: Split, features: Mapping[str, Feature]) -> int:
    """Returns how many examples repeat an earlier example of the split; labels are not compared."""
    (contents,) = _contents([split], features)
    return len(contents) - len(set(contents))


def _contents(splits: Sequence[Split], features: Mapping[str, Feature]) -> list[list[Hashable]]:
    """Returns a hashable content for each example of each split."""
    by_feature = [
        feature.contents([split.column(name) for split in splits])
        for name, feature in features.items()
        if feature.is_content
    ]
    return [
        list(zip(*(contents[number] for contents in by_feature), strict=True))
        for number in range(len(splits))
    ]
