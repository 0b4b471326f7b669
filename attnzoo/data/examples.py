"""From raw splits to encoded examples: fits the features on train and encodes the values for batches."""

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
from attnzoo.data.pairs import usable_pairs
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataNote, UserError
from attnzoo.features.feature import Feature, Resampler
from attnzoo.features.info import DataInfo
from attnzoo.features.text import TextOptions


@dataclasses.dataclass(frozen=True)
class Examples:
    """An encoded split, ready for batching.

    Attributes:
        encoded: feature -> result of its `encode`.
        buckets: <int32>[examples], indices into `DataInfo.lengths`.
        raw: the split before encoding.
        resamplers: feature -> function that encodes its values again for every epoch; features whose values
            do not change have none.
    """

    encoded: Mapping[str, Any]
    buckets: np.ndarray
    raw: Split
    resamplers: Mapping[str, Resampler] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.raw)

    def lengths(self, info: DataInfo) -> dict[str, np.ndarray]:
        """Returns feature -> length of each value, <int64>[examples]."""
        return encoded_lengths(self.encoded, info.features)

    def weights(self, info: DataInfo) -> np.ndarray | None:
        """Returns the weight of each example in the training loss, <float32>[examples]; None without."""
        named = (name for name in self.encoded if info.features[name].is_weight)
        return next((self.encoded[name] for name in named), None)

    def for_epoch(self, info: DataInfo, seed: int, epoch: int) -> Examples:
        """Returns the examples as encoded for an epoch of training."""
        if not self.resamplers:
            return self
        encoded = dict(self.encoded)
        for number, (name, resampler) in enumerate(self.resamplers.items()):
            generator = np.random.default_rng(np.random.SeedSequence((seed, epoch, number)))
            encoded[name] = resampler(generator, info.buckets[-1][name])
        buckets = assign_buckets(encoded_lengths(encoded, info.features), info.lengths)
        return dataclasses.replace(self, encoded=encoded, buckets=buckets)


def encoded_lengths(encoded: Mapping[str, Any], features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Returns feature -> length of each value, <int64>[examples], for the features with lengths."""
    return {
        name: features[name].lengths(values) for name, values in encoded.items() if features[name].has_lengths
    }


def known_features(splits: DataSplits, features: Mapping[str, Feature]) -> dict[str, Feature]:
    """Returns the features of a task that any split has, as declared by the data set where it does so."""
    names = {name for split in splits.named().values() for name in split.names}
    return {name: splits.features.get(name, feature) for name, feature in features.items() if name in names}


def learn(
    splits: DataSplits,
    options: DataOptions,
    task: str,
    features: Mapping[str, Feature],
    initial: DataInfo | None = None,
) -> tuple[DataInfo, dict[str, Examples]]:
    """Fits the features on train and encodes every split.

    Issues warnings for examples that train shares with other splits, and notes on probable mistakes. Training
    pairs that `pairs.usable_pairs` does not name are left out after the features have learned from them.

    Args:
        splits: raw examples, validation included.
        options: `data` section of the config.
        task: name of the task.
        features: features of the task, before learning.
        initial: data info of the run in `train.init_from`, whose vocabulary is reused.

    Returns:
        (info, examples): what a model needs to know about the data, and split -> encoded examples.

    Raises:
        UserError: a value cannot be used, or there is nothing to learn from.
    """
    known = known_features(splits, features)
    overlap.warn_about_shared_examples(splits, known)
    if initial is not None:
        _require_same_features(known, initial)
    learned = _learn_features(splits, known, options, initial)
    named = splits.named()
    for name, split in named.items():
        for column, feature in learned.items():
            if name != "train" and column in split.names:
                feature.check(split.column(column), options, split.origin)
    info = DataInfo(task, features=learned, fingerprint=fingerprint(splits, learned))
    encoded = {name: encode_columns(split, info) for name, split in named.items()}
    usable = usable_pairs(encoded_lengths(encoded["train"], learned), learned, options, splits.train.origin)
    if usable is not None:
        named["train"] = splits.train.take(usable)
        encoded["train"] = encode_columns(named["train"], info)
    _issue_notes(encoded, info)
    info = dataclasses.replace(info, num_examples={name: len(split) for name, split in named.items()})
    info = _with_buckets(info, encoded, options)
    return info, {name: _examples(split, encoded[name], info) for name, split in named.items()}


def _with_buckets(info: DataInfo, encoded: Mapping[str, Mapping[str, Any]], options: DataOptions) -> DataInfo:
    """Returns the data info with lengths that fit the texts of train, if there are texts."""
    lengths = {name: encoded_lengths(values, info.features) for name, values in encoded.items()}
    if not lengths["train"] or not isinstance(options, TextOptions):
        return info
    buckets = make_buckets(lengths["train"], options.num_buckets, options.max_length)
    info = dataclasses.replace(info, buckets=buckets, max_length=options.max_length)
    truncated = {name: truncated_fraction(sizes, info.lengths[-1]) for name, sizes in lengths.items()}
    return dataclasses.replace(info, truncated_fraction=truncated)


def _issue_notes(encoded: Mapping[str, Mapping[str, Any]], info: DataInfo) -> None:
    for name, feature in info.features.items():
        columns = {split: values[name] for split, values in encoded.items() if name in values}
        for line in feature.data_notes(columns):
            warnings.warn(f"{name}: {line}", DataNote, stacklevel=2)


def _require_same_features(known: Mapping[str, Feature], initial: DataInfo) -> None:
    """Rejects an initial run whose transferable features differ from those of this data."""
    own, others = (
        [name for name, feature in features.items() if feature.is_transferable]
        for features in (known, initial.features)
    )
    if sorted(own) != sorted(others):
        raise UserError(
            f"train.init_from: that run has the texts {', '.join(others) or '(none)'}, this data has "
            f"{', '.join(own) or '(none)'}; choose a run of the same task."
        )


def _learn_features(
    splits: DataSplits, known: Mapping[str, Feature], options: DataOptions, initial: DataInfo | None
) -> dict[str, Feature]:
    learned: dict[str, Feature] = {}
    by_columns: dict[tuple[str, ...], Feature] = {}
    for name, feature in known.items():
        if name not in splits.train.names:
            learned[name] = feature  # nothing to learn from
            continue
        names = feature.learned_with(name, known, options)
        if names not in by_columns:
            start = initial.features.get(name) if initial is not None and feature.is_transferable else None
            columns = [splits.train.column(column) for column in names]
            by_columns[names] = feature.learn(columns, options, start, splits.train.origin)
        learned[name] = by_columns[names]
    return learned


def encode_split(split: Split, info: DataInfo) -> Examples:
    """Encodes a split with features that were learned before."""
    return _examples(split, encode_columns(split, info), info)


def encode_splits(splits: DataSplits, info: DataInfo, options: DataOptions) -> dict[str, Examples]:
    """Encodes every split with features that were learned before, without the pairs that `learn` drops."""
    encoded = {name: encode_split(split, info) for name, split in splits.named().items()}
    train = encoded["train"]
    usable = usable_pairs(train.lengths(info), info.features, options, train.raw.origin)
    if usable is not None:
        encoded["train"] = encode_split(train.raw.take(usable), info)
    return encoded


def with_resamplers(train: Examples, info: DataInfo, options: DataOptions) -> Examples:
    """Returns the examples of train with resamplers for the features that are encoded again in every epoch.

    Raises:
        UserError: the options ask for resampling that the learned feature does not support.
    """
    resamplers = {}
    for name in train.encoded:
        resampler = info.features[name].resampler(train.raw.column(name), options)
        if resampler is not None:
            resamplers[name] = resampler
    return dataclasses.replace(train, resamplers=resamplers)


def encode_columns(split: Split, info: DataInfo) -> dict[str, Any]:
    """Returns feature -> encoded values, for every feature that the split has."""
    return {
        name: feature.encode(split.column(name))
        for name, feature in info.features.items()
        if name in split.names
    }


def _examples(split: Split, encoded: Mapping[str, Any], info: DataInfo) -> Examples:
    sizes = encoded_lengths(encoded, info.features)
    buckets = assign_buckets(sizes, info.lengths) if sizes else np.zeros(len(split), np.int32)
    return Examples(encoded, buckets, split)


def fingerprint(splits: DataSplits, features: Mapping[str, Feature]) -> str:
    """Returns the SHA-256 of all raw examples, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name, split in sorted(splits.named().items()):
        for column in sorted(set(split.names) & features.keys()):
            digest.update(f"{name}/{column}/{len(split)}".encode())
            for part in features[column].fingerprint(split.column(column)):
                digest.update(part)
    return digest.hexdigest()
