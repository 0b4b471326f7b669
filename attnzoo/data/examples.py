"""From raw splits to encoded examples: what is learned from the training split, and texts as token ids."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from attnzoo.config.sections import DataOptions, FileOptions, ImageOptions, TextOptions
from attnzoo.data import image as image_ops
from attnzoo.data import overlap, subword_sampling, tokenizers
from attnzoo.data.ragged import Ragged
from attnzoo.data.subword_sampling import SubwordSampling
from attnzoo.errors import UserError
from attnzoo.info import (
    END,
    IMAGE_CLASSIFICATION,
    TEXT_FEATURES,
    TRANSLATION,
    DataInfo,
    DataSplits,
    Lengths,
    Split,
)

MOST_LENGTHS = 64
"""Most distinct lengths of a feature that buckets are chosen from."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """One split ready for batches.

    Attributes:
        texts: text feature -> token ids; translation texts end with END.
        images: as in `Split`, or None.
        labels: as in `Split`; all 0 for translation.
        buckets: <int32>[examples], index into `DataInfo.buckets`.
        raw: the split these came from.
        sampling: text feature -> how its texts are split anew in every epoch; empty if they are not.
    """

    texts: Mapping[str, Ragged]
    images: np.ndarray | None
    labels: np.ndarray
    buckets: np.ndarray
    raw: Split
    sampling: Mapping[str, SubwordSampling] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def text_features(self) -> tuple[str, ...]:
        """Names of the text features, in the order of the batches' lengths."""
        return tuple(self.texts)

    def of_epoch(self, info: DataInfo, seed: int, epoch: int) -> Examples:
        """Returns the examples with their texts as they are split in this epoch of training."""
        if not self.sampling:
            return self
        texts = {}
        for number, (name, sampling) in enumerate(self.sampling.items()):
            generator = np.random.default_rng(np.random.SeedSequence((seed, epoch, number)))
            end = int(info.task == TRANSLATION)
            drawn = sampling.draw(generator, info.buckets[-1][name] - end)
            texts[name] = _with_end(drawn) if end else drawn
        return dataclasses.replace(self, texts=texts, buckets=assign_buckets(texts, info.buckets))


def carve_validation(splits: DataSplits, fraction: float, seed: int) -> DataSplits:
    """Holds out a share of train where there is no validation split: the same examples for the same seed."""
    if splits.validation is not None:
        return splits
    total = len(splits.train)
    held_out = min(total - 1, max(1, round(total * fraction)))
    if held_out < 1:
        return dataclasses.replace(splits, validation=splits.train)
    order = np.random.default_rng(np.random.SeedSequence((seed, 0x5A11D))).permutation(total)
    origin = f"{splits.train.origin} ({held_out} held out for validation)"
    return dataclasses.replace(
        splits,
        train=splits.train.take(np.sort(order[held_out:])),
        validation=splits.train.take(np.sort(order[:held_out]), origin),
    )


def learn(
    splits: DataSplits,
    options: DataOptions,
    task: str,
    learned: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[DataInfo, dict[str, Examples]]:
    """Learns vocabularies, buckets and pixel statistics from train, and encodes every split.

    Every image is decoded once where that takes no minutes: a damaged one is told now, not after hours. Warns
    of examples of train that validation or test have too.

    Args:
        splits: raw examples; validation is there.
        options: the data section of the config.
        task: a task name of `attnzoo.info`.
        learned: states of tokenizers to take instead of learning them, by text feature.

    Returns:
        What the model has to know, and the encoded split of every name.

    Raises:
        UserError: an image cannot be decoded, or texts are too few or too empty for a tokenizer.
    """
    overlap.warn_of_shared_examples(splits)
    named = splits.named()
    counts = {name: len(split) for name, split in named.items()}
    info = DataInfo(task, labels=splits.labels, num_examples=counts, fingerprint=fingerprint(splits))
    if task == IMAGE_CLASSIFICATION:
        info = _learn_images(info, splits, options)
    else:
        info = _learn_vocabularies(info, splits.train, options, learned)
    texts = {name: encode_texts(split, info) for name, split in named.items()}
    if isinstance(options, TextOptions) and task != IMAGE_CLASSIFICATION:
        buckets = make_buckets(texts["train"], options.num_buckets, options.max_length)
        cut = {name: cut_share(ids, buckets[-1]) for name, ids in texts.items()}
        info = dataclasses.replace(info, buckets=buckets, cut_share=cut)
    return info, {name: _examples(split, texts[name], info) for name, split in named.items()}


def encode_split(split: Split, info: DataInfo) -> Examples:
    """Encodes a split with what was learned before."""
    return _examples(split, encode_texts(split, info), info)


def with_sampling(train: Examples, info: DataInfo, options: DataOptions) -> Examples:
    """Returns the examples of train with their texts split anew in every epoch, where the options say so.

    Raises:
        UserError: tokens are no pieces of words.
    """
    if not isinstance(options, TextOptions) or not options.subword_sampling:
        return train
    if any(state["kind"] != "subwords" for state in info.tokenizers.values()):
        raise UserError(
            "data.subword_sampling: the run of train.init_from has other tokens than pieces of words; leave "
            "it out."
        )
    sampling = {
        name: subword_sampling.learn(state, list(train.raw.columns[name]), options.subword_sampling)
        for name, state in info.tokenizers.items()
    }
    return dataclasses.replace(train, sampling=sampling)


def _examples(split: Split, texts: dict[str, Ragged], info: DataInfo) -> Examples:
    buckets = assign_buckets(texts, info.buckets) if texts else np.zeros(len(split), np.int32)
    return Examples(texts, split.columns.get("image"), _labels(split), buckets, split)


def _labels(split: Split) -> np.ndarray:
    return split.columns.get("label", np.zeros(len(split), np.int32))


def _learn_images(info: DataInfo, splits: DataSplits, options: DataOptions) -> DataInfo:
    if not isinstance(options, ImageOptions):
        raise ValueError(
            f"Data set '{options.name}' has no image options; expected a subclass of ImageOptions."
        )
    column = splits.train.columns["image"]
    height, width, channels = image_ops.shape_of_first(column, splits.train.origin)
    if options.image_size is not None:
        height, width = options.image_size
    channels = options.channels or channels
    if not (isinstance(options, FileOptions) and options.on_bad_record == "skip"):  # else done by the loader
        for split in splits.named().values():
            image_ops.check_decodable(split.columns["image"], channels, split.origin)
    shape = (height, width, channels)
    mean, std = image_ops.pixel_statistics(column, shape)
    return dataclasses.replace(info, image_shape=shape, image_mean=mean, image_std=std)


def _learn_vocabularies(
    info: DataInfo, train: Split, options: DataOptions, learned: Mapping[str, Mapping[str, Any]] | None
) -> DataInfo:
    if not isinstance(options, TextOptions):
        raise ValueError(
            f"Data set '{options.name}' has no text options; expected a subclass of TextOptions."
        )
    features = TEXT_FEATURES[info.task]

    def build(columns: tuple[str, ...]) -> dict:
        texts = [text for name in columns for text in train.columns[name]]
        return tokenizers.build(
            options.tokenizer, texts, options.vocabulary_size, options.lowercase, options.clean
        )

    if learned is not None:
        if sorted(learned) != sorted(features):
            raise UserError(
                f"train.init_from: a run with texts {', '.join(learned) or 'none'}; this data has "
                f"{', '.join(features)}. Name a run of the same task."
            )
        states = {name: dict(learned[name]) for name in features}
    elif getattr(options, "shared_vocabulary", False):
        states = dict.fromkeys(features, build(features))
    else:
        states = {name: build((name,)) for name in features}
    sizes = {name: tokenizers.from_state(state).vocabulary_size for name, state in states.items()}
    return dataclasses.replace(info, tokenizers=states, vocabulary_sizes=sizes)


def encode_texts(split: Split, info: DataInfo) -> dict[str, Ragged]:
    """Returns the token ids of every text feature; in translation each text ends with END."""
    encoded = {}
    for name, state in info.tokenizers.items():
        values, lengths = tokenizers.encode_all(tokenizers.from_state(state), list(split.columns[name]))
        ids = Ragged.of(values, lengths)
        encoded[name] = _with_end(ids) if info.task == TRANSLATION else ids
    return encoded


def _with_end(ids: Ragged) -> Ragged:
    return Ragged.of(np.insert(ids.values, ids.offsets[1:], END), ids.lengths + 1)


def make_buckets(texts: Mapping[str, Ragged], num_buckets: int, max_length: int) -> tuple[Lengths, ...]:
    """Chooses the fixed lengths that make few padded tokens.

    Each bucket is at least as long as the one before, in every feature; the last one holds all texts. The
    others start at quantiles of the lengths and move for as long as that saves padding.

    Args:
        texts: encoded training split.
        num_buckets: most buckets.
        max_length: no bucket is longer, in tokens.
    """
    lengths = np.stack([np.clip(ids.lengths, 1, max_length) for ids in texts.values()], axis=1)
    unit = 2 ** max(1, math.ceil(math.log2(lengths.max() / MOST_LENGTHS)))
    units, counts = np.unique(-(-lengths // unit), axis=0, return_counts=True)  # [distinct, features]
    quantiles = np.linspace(0, 1, num_buckets + 1)[1:]
    buckets = np.quantile(-(-lengths // unit), quantiles, axis=0, method="higher")
    fewest = _padded_tokens(buckets, units, counts)
    moves = [
        np.array(signs) * size
        for size in (8, 4, 2, 1)
        for signs in itertools.product((-1, 0, 1), repeat=len(texts))
        if any(signs)
    ]
    improved = True
    while improved:
        improved = False
        for number, move in itertools.product(range(num_buckets - 1), moves):
            moved = buckets.copy()
            moved[number] += move
            if moved.min() < 1 or (np.diff(moved, axis=0) < 0).any():
                continue
            padded = _padded_tokens(moved, units, counts)
            if padded < fewest:
                buckets, fewest, improved = moved, padded, True
    chosen = np.unique(np.minimum(buckets * unit, max_length), axis=0)  # sorted, as they are nested
    return tuple(dict(zip(texts, map(int, bucket), strict=True)) for bucket in chosen)


def _padded_tokens(buckets: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> int:
    """Returns the size of all texts, each padded to its first fitting bucket.

    Args:
        buckets: <int>[buckets, features], nested; the last one fits all.
        lengths: <int>[distinct, features].
        counts: <int>[distinct], examples of these lengths.
    """
    fits = (lengths[:, None] <= buckets).all(axis=-1)  # [distinct, buckets]
    return int(counts @ buckets.sum(axis=1)[fits.argmax(axis=1)])


def assign_buckets(texts: Mapping[str, Ragged], buckets: tuple[Lengths, ...]) -> np.ndarray:
    """Returns <int32>[examples]: the first bucket that an example fits into, or the last one."""
    count = len(next(iter(texts.values())).lengths)
    assigned = np.full(count, len(buckets) - 1, np.int32)
    for number in range(len(buckets) - 2, -1, -1):
        fits = np.ones(count, bool)
        for name, ids in texts.items():
            fits &= ids.lengths <= buckets[number][name]
        assigned[fits] = number
    return assigned


def cut_share(texts: Mapping[str, Ragged], longest: Lengths) -> float:
    """Returns the share of tokens beyond the longest bucket, 0 to 1."""
    total = sum(int(ids.lengths.sum()) for ids in texts.values())
    lost = sum(int(np.maximum(ids.lengths - longest[name], 0).sum()) for name, ids in texts.items())
    return lost / max(1, total)


def cut_examples(texts: Mapping[str, Ragged], longest: Lengths) -> np.ndarray:
    """Returns <bool>[examples]: whether a text of an example is longer than the longest bucket."""
    return np.any([ids.lengths > longest[name] for name, ids in texts.items()], axis=0)


def fingerprint(splits: DataSplits) -> str:
    """Returns the SHA-256 over all raw examples; files named by path count by their name and size."""
    digest = hashlib.sha256()
    for name, split in sorted(splits.named().items()):
        for column_name, column in sorted(split.columns.items()):
            digest.update(f"{name}/{column_name}/{len(column)}".encode())
            if column.dtype == object:
                for item in column:
                    if column_name == "image" and isinstance(item, str):
                        item = f"{item}:{os.path.getsize(item)}"
                    data = item if isinstance(item, bytes) else item.encode("utf-8", "surrogatepass")
                    digest.update(len(data).to_bytes(8, "little") + data)
            else:
                digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
