"""From raw splits to encoded examples: what is learned from train, and values as batches need them."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from attnzoo.config.sections import DataOptions
from attnzoo.data import overlap
from attnzoo.data.buckets import assign_buckets, make_buckets, truncated_fraction
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataNote, UserError
from attnzoo.features.feature import Feature, Redraw
from attnzoo.features.info import DataInfo
from attnzoo.features.text import TextOptions


@dataclasses.dataclass(frozen=True)
class Examples:
    """One split ready for batches.

    Attributes:
        encoded: feature -> what its `encode` gave.
        buckets: <int32>[examples], index into `DataInfo.lengths`.
        raw: the split these came from.
        redraws: feature -> what encodes its values anew for every epoch; empty if they stay.
    """

    encoded: Mapping[str, Any]
    buckets: np.ndarray
    raw: Split
    redraws: Mapping[str, Redraw] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.raw)

    def lengths(self, info: DataInfo) -> dict[str, np.ndarray]:
        """Returns the length of each value <int64>[examples], by feature."""
        return lengths_of(self.encoded, info.features)

    def of_epoch(self, info: DataInfo, seed: int, epoch: int) -> Examples:
        """Returns the examples as they are encoded in this epoch of training."""
        if not self.redraws:
            return self
        encoded = dict(self.encoded)
        for number, (name, redraw) in enumerate(self.redraws.items()):
            generator = np.random.default_rng(np.random.SeedSequence((seed, epoch, number)))
            encoded[name] = redraw(generator, info.buckets[-1][name])
        buckets = assign_buckets(lengths_of(encoded, info.features), info.lengths)
        return dataclasses.replace(self, encoded=encoded, buckets=buckets)


def lengths_of(encoded: Mapping[str, Any], features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Returns the lengths <int64>[examples] of those features that have them."""
    return {
        name: features[name].lengths(values) for name, values in encoded.items() if features[name].has_lengths
    }


def known_features(splits: DataSplits, features: Mapping[str, Feature]) -> dict[str, Feature]:
    """Returns the features of a task that a split has, with what the data set knows of them."""
    names = {name for split in splits.named().values() for name in split.names}
    return {name: splits.features.get(name, feature) for name, feature in features.items() if name in names}


def learn(
    splits: DataSplits,
    options: DataOptions,
    task: str,
    features: Mapping[str, Feature],
    initial: DataInfo | None = None,
) -> tuple[DataInfo, dict[str, Examples]]:
    """Learns what there is to learn of the features from train, and encodes every split.

    Warns of examples of train that validation or test have too, and of what was surely not meant.

    Args:
        splits: raw examples; validation is there.
        options: the data section of the config.
        task: name of the task.
        features: those of the task, of which nothing is known yet.
        initial: what the run of `train.init_from` has learned.

    Returns:
        What the model has to know, and the encoded split of every name.

    Raises:
        UserError: a value cannot be used, or there is nothing to learn from.
    """
    known = known_features(splits, features)
    overlap.warn_of_shared_examples(splits, known)
    if initial is not None:
        _require_same_features(known, initial)
    learned = _learn_features(splits, known, options, initial)
    named = splits.named()
    for name, split in named.items():
        for column, feature in learned.items():
            if name != "train" and column in split.names:
                feature.check(split.column(column), options, split.origin)
    info = DataInfo(
        task,
        features=learned,
        num_examples={name: len(split) for name, split in named.items()},
        fingerprint=fingerprint(splits, learned),
    )
    encoded = {name: encode_columns(split, info) for name, split in named.items()}
    _note_doubts(encoded, info)
    lengths = {name: lengths_of(values, learned) for name, values in encoded.items()}
    if lengths["train"] and isinstance(options, TextOptions):
        buckets = make_buckets(lengths["train"], options.num_buckets, options.max_length)
        info = dataclasses.replace(info, buckets=buckets, max_length=options.max_length)
        shares = {name: truncated_fraction(sizes, info.lengths[-1]) for name, sizes in lengths.items()}
        info = dataclasses.replace(info, truncated_fraction=shares)
    return info, {name: _examples(split, encoded[name], info) for name, split in named.items()}


def _note_doubts(encoded: Mapping[str, Mapping[str, Any]], info: DataInfo) -> None:
    for name, feature in info.features.items():
        columns = {split: values[name] for split, values in encoded.items() if name in values}
        for line in feature.doubts(columns):
            warnings.warn(f"{name}: {line}", DataNote, stacklevel=2)


def _require_same_features(known: Mapping[str, Feature], initial: DataInfo) -> None:
    """Refuses a run whose learned features are not those of this data."""
    here, there = (
        [name for name, feature in features.items() if feature.starts_from_others]
        for features in (known, initial.features)
    )
    if sorted(here) != sorted(there):
        raise UserError(
            f"train.init_from: a run with texts {', '.join(there) or 'none'}; this data has "
            f"{', '.join(here)}. Name a run of the same task."
        )


def _learn_features(
    splits: DataSplits, known: Mapping[str, Feature], options: DataOptions, initial: DataInfo | None
) -> dict[str, Feature]:
    learned: dict[str, Feature] = {}
    together: dict[tuple[str, ...], Feature] = {}
    for name, feature in known.items():
        if name not in splits.train.names:
            learned[name] = feature  # there is nothing to learn from
            continue
        names = feature.learned_with(name, known, options)
        if names not in together:
            start = initial.features.get(name) if initial is not None and feature.starts_from_others else None
            columns = [splits.train.column(column) for column in names]
            together[names] = feature.learn(columns, options, start, splits.train.origin)
        learned[name] = together[names]
    return learned


def encode_split(split: Split, info: DataInfo) -> Examples:
    """Encodes a split with what was learned before."""
    return _examples(split, encode_columns(split, info), info)


def with_redraws(train: Examples, info: DataInfo, options: DataOptions) -> Examples:
    """Returns the examples of train with what encodes them anew in every epoch, where the options say so.

    Raises:
        UserError: the values cannot be encoded in another way.
    """
    redraws = {name: info.features[name].redraw(train.raw.column(name), options) for name in train.encoded}
    return dataclasses.replace(train, redraws={name: redraw for name, redraw in redraws.items() if redraw})


def encode_columns(split: Split, info: DataInfo) -> dict[str, Any]:
    """Returns the encoded values of every feature that the split has."""
    return {
        name: feature.encode(split.column(name))
        for name, feature in info.features.items()
        if name in split.names
    }


def _examples(split: Split, encoded: Mapping[str, Any], info: DataInfo) -> Examples:
    sizes = lengths_of(encoded, info.features)
    buckets = assign_buckets(sizes, info.lengths) if sizes else np.zeros(len(split), np.int32)
    return Examples(encoded, buckets, split)


def fingerprint(splits: DataSplits, features: Mapping[str, Feature]) -> str:
    """Returns the SHA-256 over all raw examples."""
    digest = hashlib.sha256()
    for name, split in sorted(splits.named().items()):
        for column in sorted(set(split.names) & features.keys()):
            digest.update(f"{name}/{column}/{len(split)}".encode())
            for part in features[column].fingerprint(split.column(column)):
                digest.update(part)
    return digest.hexdigest()
