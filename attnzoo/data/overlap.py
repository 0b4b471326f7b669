"""Examples that train shares with the splits that a model is judged by."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from attnzoo.errors import DataWarning
from attnzoo.info import DataSplits, Split

ABOUT_EXAMPLES = ("label", "alignment")
"""Columns that say something of an example."""


def warn_of_shared_examples(splits: DataSplits) -> None:
    """Issues a `DataWarning` for each split of which examples are in train too, with their number.

    Examples are the same if their texts or the bytes of their images are; labels do not count.
    """
    for name in ("validation", "test"):
        split = getattr(splits, name)
        if split is None:
            continue
        shared = shared_indices(splits.train, split)
        if shared.size:
            warnings.warn(
                f"{split.origin}: {shared.size:,} of {len(split):,} {name} examples are in train too, the "
                f"first is number {shared[0]}; the scores say less about new data than they seem to.",
                DataWarning,
                stacklevel=2,
            )


def shared_indices(train: Split, other: Split) -> np.ndarray:
    """Returns <int64>[shared]: which examples of `other` occur in `train`."""
    if _holds_paths(train) and _holds_paths(other):
        known, contents = _contents_of_files(train.columns["image"], other.columns["image"])
    else:
        known, contents = _contents(train), _contents(other)
    known_contents = set(known)
    return np.flatnonzero([content in known_contents for content in contents])


def num_repeated(split: Split) -> int:
    """Returns how many examples of a split are there before, by what `shared_indices` goes by."""
    if _holds_paths(split):
        contents, _ = _contents_of_files(split.columns["image"], split.columns["image"])
    else:
        contents = _contents(split)
    return len(contents) - len(set(contents))


def _contents(split: Split) -> list[Hashable]:
    columns = [column for name, column in split.columns.items() if name not in ABOUT_EXAMPLES]
    if columns[0].dtype == object:
        return list(zip(*columns, strict=True))
    return [_digest(pixels.tobytes()) for pixels in columns[0]]


def _holds_paths(split: Split) -> bool:
    return "image" in split.columns and isinstance(split.columns["image"][0], str)


def _contents_of_files(train: np.ndarray, other: np.ndarray) -> list[list[Hashable]]:
    """Returns what tells the files of both apart; only those are read whose size occurs on both sides."""
    sizes = {path: os.path.getsize(path) for path in (*train, *other)}
    common = {sizes[path] for path in train} & {sizes[path] for path in other}
    return [
        [_digest(Path(path).read_bytes()) if sizes[path] in common else path for path in paths]
        for paths in (train, other)
    ]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
