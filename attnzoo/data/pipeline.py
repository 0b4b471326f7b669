"""From encoded examples to batches, in an order that is a pure function of (seed, epoch, index).

`plan_epoch` decides in NumPy which examples make which batch; `batches` turns plans into tensors with
`tf.data`. A resumed run starts at the batch it needs: nothing is replayed.
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
from attnzoo.startup import processors

Batch = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]
"""(inputs, targets): what the model takes, and what the task makes of the rest. Targets hold `weights`
<float32>[batch] (0 for rows that only fill up the last batch), `indices` <int32>[batch] of the examples in
their split, and what else the task needs."""

PREFETCHED = 4
"""Batches that are ready before they are asked for."""


class Row(NamedTuple):
    """What a task makes inputs and targets of.

    Attributes:
        values: feature -> its values of the batch, as models take them; with mixed images also what
            `images.augmentation.Mixture` says.
        weights: <float32>[batch], 0 for examples that only fill up the batch.
        indices: <int32>[batch], of the examples in their split.
        seeds: <int32>[batch, 2], of each example in this epoch.
    """

    values: dict[str, tf.Tensor]
    weights: tf.Tensor
    indices: tf.Tensor
    seeds: tf.Tensor


MakeBatch = Callable[[Row], Batch]

MAX_SHAPES = 4
"""Most buckets that one pass over texts uses: compiling more programs takes longer than they save."""


@dataclasses.dataclass(frozen=True)
class PlannedBatch:
    """One batch.

    Attributes:
        indices: <int32>[batch], of examples; the first `count` are real.
        bucket: index into `DataInfo.lengths`.
        encoded: feature -> values of all examples, as they are in the epoch.
    """

    indices: np.ndarray
    count: int
    bucket: int
    encoded: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """How many examples a batch holds.

    Attributes:
        examples: examples a batch, unless `tokens` is given.
        tokens: most padded tokens a batch, counted on its longest feature.
        multiple: every batch is a multiple of this (the number of replicas).
    """

    examples: int
    tokens: int | None = None
    multiple: int = 1

    def of(self, lengths: Mapping[str, int]) -> int:
        """Returns the number of examples in a batch padded to `lengths`."""
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
    """Returns the batches of one epoch, every example once.

    What does not fill a batch of its bucket goes to the next longer one; only the last batch of the longest
    is filled up, by repeating its examples.

    Args:
        examples: the encoded split.
        info: gives the lengths.
        sizes: examples a batch.
        order: (seed, epoch) of a shuffled epoch; None for an evaluation: the order of the files, and
            few lengths.
        only: indices <int>[n] of the examples that are wanted; None for all.
    """
    indices = np.arange(len(examples), dtype=np.int32) if only is None else only.astype(np.int32)
    generator = None if order is None else np.random.default_rng(np.random.SeedSequence(order))
    if generator is not None:
        indices = generator.permutation(indices)
    assigned = examples.buckets[indices]
    count, most, lengths = max(1, len(info.buckets)), int(assigned.max(initial=0)), info.lengths
    used = [*(few_of(count) if generator is None else range(count))]
    if most > used[-1]:  # longer than all of train
        used.append(most)
    batches, left = [], indices[:0]
    for shorter, bucket in itertools.pairwise([-1, *used]):
        members = np.concatenate([left, indices[(assigned > shorter) & (assigned <= bucket)]])
        size = sizes.of(lengths[bucket] if lengths else {})
        full = len(members) if bucket == used[-1] else len(members) // size * size
        for start in range(0, full, size):
            chosen = members[start : min(start + size, full)]
            batches.append(PlannedBatch(np.resize(chosen, size), len(chosen), bucket, examples.encoded))
        left = members[full:]
    if generator is not None:
        batches = [batches[position] for position in generator.permutation(len(batches))]
    return batches


def batches_of_epoch(examples: Examples, info: DataInfo, sizes: BatchSizes, seed: int, epoch: int) -> int:
    """Returns the number of batches of an epoch of training; all are alike unless texts are split anew."""
    return len(plan_epoch(examples.of_epoch(info, seed, epoch), info, sizes, (seed, epoch)))


def few_of(count: int) -> range:
    """Returns the numbers of the buckets that one pass uses, evenly spread; the last is always among them."""
    last = count - 1
    step = 1 + last // MAX_SHAPES
    return range(last % step, count, step)


def training_plans(
    examples: Examples, info: DataInfo, sizes: BatchSizes, seed: int, epoch: int, batch: int
) -> Iterator[tuple[int, PlannedBatch]]:
    """Yields (epoch, batch) without end, from the given position on."""
    while True:
        plan = plan_epoch(examples.of_epoch(info, seed, epoch), info, sizes, (seed, epoch))
        for planned in plan[batch:]:
            yield epoch, planned
        epoch, batch = epoch + 1, 0


def evaluation_plans(
    examples: Examples, info: DataInfo, sizes: BatchSizes, only: np.ndarray | None = None
) -> Iterator[tuple[int, PlannedBatch]]:
    """Yields (0, batch) over one pass in the order of the files within each bucket."""
    for planned in plan_epoch(examples, info, sizes, None, only):
        yield 0, planned


def batches(
    examples: Examples,
    info: DataInfo,
    plans: Iterator[tuple[int, PlannedBatch]],
    make_batch: MakeBatch,
    *,
    changes: DataOptions | None = None,
    seed: int = 0,
) -> Iterator[Batch]:
    """Returns an iterator over batches, in the order of `plans`.

    Args:
        examples: the encoded split.
        info: features and buckets.
        plans: (epoch, batch) in order.
        make_batch: what the task makes of values, see `tasks.task.Task.make_batch`.
        changes: options of the data set in training: examples change at random, keyed by (seed, epoch,
            example); None in evaluations.
        seed: seed of what is random.

    Raises:
        UserError: an image file has been damaged or removed since the run started; while iterating.
    """
    features = {
        name: feature
        for name, feature in info.features.items()
        if feature.in_batches and name in examples.encoded
    }

    all_lengths = info.lengths or ({},)

    def rows() -> Iterator[dict[str, Any]]:
        for epoch, planned in plans:
            lengths = all_lengths[planned.bucket]
            yield {
                "indices": planned.indices,
                "count": planned.count,
                "epoch": epoch,
                "values": {
                    name: feature.host_batch(planned.encoded[name], planned.indices, lengths.get(name))
                    for name, feature in features.items()
                },
            }

    signature = {
        "indices": tf.TensorSpec([None], tf.int32),
        "count": tf.TensorSpec([], tf.int32),
        "epoch": tf.TensorSpec([], tf.int32),
        "values": {name: feature.host_spec for name, feature in features.items()},
    }
    with tf.device("/CPU:0"):
        readers = {name: feature.graph_batch(examples.encoded[name]) for name, feature in features.items()}
        moving = [name for name, feature in features.items() if feature.moves_with_images]

        def assemble(row: dict[str, Any]) -> Batch:
            indices = row["indices"]  # [batch]
            seeds = augmentation.seeds(seed, row["epoch"], indices)  # [batch, 2]
            values = {name: read(row["values"][name]) for name, read in readers.items()}
            if changes is not None:
                for name in moving:
                    values |= features[name].change({one: values[one] for one in moving}, changes, seeds)
            values |= {name: feature.prepare(values[name]) for name, feature in features.items()}
            weights = tf.cast(tf.range(tf.size(indices)) < row["count"], tf.float32)
            return make_batch(Row(values, weights, indices, seeds))

        dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
        dataset = dataset.map(assemble, num_parallel_calls=processors(), deterministic=True)
        dataset = dataset.prefetch(PREFETCHED).with_options(_without_tuning())
    return _naming_damaged(dataset, examples, info)


def _without_tuning() -> tf.data.Options:
    """Returns options without the thread that tunes a data set: whoever stops reading waits for it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _naming_damaged(dataset: tf.data.Dataset, examples: Examples, info: DataInfo) -> Iterator[Batch]:
    """Iterates over the data set; where it fails, looks for the value that cannot be read any more."""
    try:
        yield from dataset
    except tf.errors.OpError:
        for name, encoded in examples.encoded.items():
            damaged = info.features[name].damaged(encoded, examples.raw.origin)
            if damaged is not None:
                raise damaged from None
        raise
