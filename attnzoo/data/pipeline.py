"""Batches of encoded examples, in an order that is a pure function of (seed, epoch, index).

`plan_epoch` assigns examples to batches in NumPy; `batches` turns these plans into tensors with `tf.data`. A
resumed run starts at the batch it needs without replaying earlier ones.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from attnzoo.config.sections import DataOptions
from attnzoo.data.examples import Examples
from attnzoo.features.info import DataInfo
from attnzoo.images import augmentation
from attnzoo.startup import num_cpus

Batch = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]
"""(inputs, targets): inputs of the model before `DataInfo.model_inputs`, and whatever else the task needs.
Targets always have `weights` <float32>[batch] (0 for rows that only fill up the last batch; else 1, or in
training the weight of the example) and `indices` <int32>[batch] of the examples in their split."""

PREFETCHED = 4
"""Number of batches that are prefetched."""


class FeatureBatch(NamedTuple):
    """A batch of feature values, from which a task makes inputs and targets.

    Attributes:
        values: feature -> values of the batch, see `DataInfo.model_inputs`; with mixed images also the fields
            of `images.augmentation.Mixture`.
        weights: <float32>[batch], 0 for examples that only fill up the batch; else 1, or in training the
            weight of the example.
        indices: <int32>[batch], indices of the examples in their split.
        seeds: <int32>[batch, 2], random seed of each example in this epoch.
    """

    values: dict[str, tf.Tensor]
    weights: tf.Tensor
    indices: tf.Tensor
    seeds: tf.Tensor


MakeBatch = Callable[[FeatureBatch], Batch]

MAX_SHAPES = 4
"""Most buckets used in one pass over texts: compiling for more lengths takes longer than it saves."""


@dataclasses.dataclass(frozen=True)
class PlannedBatch:
    """The examples of one batch.

    Attributes:
        indices: <int32>[batch], indices of examples; those after the first `count` only fill up the batch.
        count: number of examples that count.
        bucket: index into `DataInfo.lengths`.
        encoded: feature -> values of all examples, as encoded for the epoch.
        epoch_fraction: fraction of the epoch that precedes it, 0 to 1.
    """

    indices: np.ndarray
    count: int
    bucket: int
    encoded: Mapping[str, Any] = dataclasses.field(repr=False)
    epoch_fraction: float = 0.0


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """Number of examples per batch.

    Attributes:
        examples: examples per batch; not used if `tokens` is given.
        tokens: most padded tokens per batch, counted on its longest feature.
        multiple: batch sizes are multiples of this number (of replicas).

    Examples:
        >>> BatchSizes(examples=64, tokens=1000, multiple=2).of({"source": 30, "target": 20})
        32
    """

    examples: int
    tokens: int | None = None
    multiple: int = 1

    def of(self, lengths: Mapping[str, int]) -> int:
        """Returns the number of examples in a batch that is padded to `lengths`."""
        size = self.examples
        if self.tokens is not None and lengths:
            size = self.tokens // max(lengths.values())
        return max(self.multiple, size // self.multiple * self.multiple)


def plan_epoch(
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    order: tuple[int, int] | None,
    only: np.ndarray | None = None,
) -> list[PlannedBatch]:
    """Returns the batches of one epoch, with every example once.

    Examples that do not fill a batch of their bucket move to the next longer bucket; only the last batch of
    the longest bucket is filled up, by repeating its examples.

    Args:
        examples: an encoded split.
        info: data info with the bucket lengths.
        sizes: examples per batch.
        order: (seed, epoch) for shuffled training batches; None for evaluation, in file order and with few
            buckets.
        only: indices <int>[n] of the examples to include; None for all.
    """
    indices = np.arange(len(examples), dtype=np.int32) if only is None else only.astype(np.int32)
    generator = None if order is None else np.random.default_rng(np.random.SeedSequence(order))
    if generator is not None:
        indices = generator.permutation(indices)
    assigned = examples.buckets[indices]
    count, longest, lengths = max(1, len(info.buckets)), int(assigned.max(initial=0)), info.lengths
    used = [*(spread_buckets(count) if generator is None else range(count))]
    if longest > used[-1]:  # texts that are longer than any of train
        used.append(longest)
    batches, remaining = [], indices[:0]
    for shorter, bucket in itertools.pairwise([-1, *used]):
        members = np.concatenate([remaining, indices[(assigned > shorter) & (assigned <= bucket)]])
        size = sizes.of(lengths[bucket] if lengths else {})
        full = len(members) if bucket == used[-1] else len(members) // size * size
        for start in range(0, full, size):
            chosen = members[start : min(start + size, full)]
            batches.append(PlannedBatch(np.resize(chosen, size), len(chosen), bucket, examples.encoded))
        remaining = members[full:]
    if generator is not None:
        batches = [batches[position] for position in generator.permutation(len(batches))]
    return [
        dataclasses.replace(planned, epoch_fraction=number / len(batches))
        for number, planned in enumerate(batches)
    ]


def num_batches(examples: Examples, info: DataInfo, sizes: BatchSizes, seed: int, epoch: int) -> int:
    """Returns the number of batches of a training epoch, which only varies if texts are resampled."""
    return len(plan_epoch(examples.for_epoch(info, seed, epoch), info, sizes, (seed, epoch)))


def spread_buckets(count: int) -> range:
    """Returns at most `MAX_SHAPES` evenly spaced bucket numbers, which always include the last."""
    last = count - 1
    step = 1 + last // MAX_SHAPES
    return range(last % step, count, step)


def training_plans(
    examples: Examples, info: DataInfo, sizes: BatchSizes, seed: int, epoch: int, batch: int
) -> Iterator[tuple[int, PlannedBatch]]:
    """Yields (epoch, batch) endlessly, starting at the given position."""
    while True:
        plan = plan_epoch(examples.for_epoch(info, seed, epoch), info, sizes, (seed, epoch))
        for planned in plan[batch:]:
            yield epoch, planned
        epoch, batch = epoch + 1, 0


def evaluation_plans(
    examples: Examples, info: DataInfo, sizes: BatchSizes, only: np.ndarray | None = None
) -> Iterator[tuple[int, PlannedBatch]]:
    """Yields (0, batch) for one pass, in file order within each bucket."""
    for planned in plan_epoch(examples, info, sizes, None, only):
        yield 0, planned


def num_evaluation_batches(examples: Examples, info: DataInfo, sizes: BatchSizes) -> int:
    """Returns the number of batches of one pass of `evaluation_plans`."""
    return len(plan_epoch(examples, info, sizes, None))


def batches(
    examples: Examples,
    info: DataInfo,
    plans: Iterator[tuple[int, PlannedBatch]],
    make_batch: MakeBatch,
    *,
    changes: DataOptions | None = None,
    seed: int = 0,
    num_epochs: float = 1.0,
) -> Iterator[Batch]:
    """Returns an iterator over batches, in the order of `plans`.

    Args:
        examples: an encoded split.
        info: data info with features and buckets.
        plans: (epoch, batch) in order.
        make_batch: function of the task from feature values to (inputs, targets), see
            `tasks.task.Task.make_batch`.
        changes: options of the data set, for random augmentation keyed by (seed, epoch, example), in
            training, where examples have their weights; None for evaluation.
        seed: random seed.
        num_epochs: epochs of the whole training, for augmentation that depends on how much of it is done.

    Raises:
        UserError: an image file has been damaged or removed since the run started; while iterating.
    """
    features = {
        name: feature
        for name, feature in info.features.items()
        if feature.in_batches and name in examples.encoded
    }

    all_lengths = info.lengths or ({},)
    example_weights = None if changes is None else examples.weights(info)

    def rows() -> Iterator[dict[str, Any]]:
        for epoch, planned in plans:
            lengths = all_lengths[planned.bucket]
            yield {
                "indices": planned.indices,
                "count": planned.count,
                "epoch": epoch,
                "fraction_done": (epoch + planned.epoch_fraction) / num_epochs,
                "values": {
                    name: feature.host_batch(planned.encoded[name], planned.indices, lengths.get(name))
                    for name, feature in features.items()
                },
            }

    signature = {
        "indices": tf.TensorSpec([None], tf.int32),
        "count": tf.TensorSpec([], tf.int32),
        "epoch": tf.TensorSpec([], tf.int32),
        "fraction_done": tf.TensorSpec([], tf.float32),
        "values": {name: feature.host_spec for name, feature in features.items()},
    }
    with tf.device("/CPU:0"):
        readers = {name: feature.graph_batch(examples.encoded[name]) for name, feature in features.items()}
        augmented = [name for name, feature in features.items() if feature.is_augmented]

        def assemble(row: dict[str, Any]) -> Batch:
            indices = row["indices"]  # [batch]
            seeds = augmentation.seeds(seed, row["epoch"], indices)  # [batch, 2]
            values = {name: read(row["values"][name]) for name, read in readers.items()}
            if changes is not None:
                for name in augmented:
                    moving = {one: values[one] for one in augmented}
                    values |= features[name].augment(moving, changes, seeds, row["fraction_done"])
            weights = tf.cast(tf.range(tf.size(indices)) < row["count"], tf.float32)
            if example_weights is not None:
                weights *= _mixed(tf.gather(example_weights, indices), values)
            return make_batch(FeatureBatch(values, weights, indices, seeds))

        dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
        dataset = dataset.map(assemble, num_parallel_calls=num_cpus(), deterministic=True)
        dataset = dataset.prefetch(PREFETCHED).with_options(_options_without_autotune())
    return _report_damage(dataset, examples, info)


def _mixed(weights: tf.Tensor, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the weights of a batch; those of mixed images are mixed in the same way."""
    fractions = values.get("mixture_fractions")
    if fractions is None:
        return weights
    others = tf.gather(weights, values["mixture_partners"])
    return others + fractions * (weights - others)


def _options_without_autotune() -> tf.data.Options:
    """Returns options without autotuning, whose thread delays a reader that stops early."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _report_damage(dataset: tf.data.Dataset, examples: Examples, info: DataInfo) -> Iterator[Batch]:
    """Iterates over the data set; on failure, names the value that has become unreadable."""
    try:
        yield from dataset
    except tf.errors.OpError:
        for name, encoded in examples.encoded.items():
            damaged = info.features[name].find_damaged(encoded, examples.raw.origin)
            if damaged is not None:
                raise damaged from None
        raise
