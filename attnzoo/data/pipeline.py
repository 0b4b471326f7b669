"""From encoded examples to batches, in an order that is a pure function of (seed, epoch, index).

`plan_epoch` decides in NumPy which examples make which batch; `batches` turns plans into tensors with
`tf.data`. A resumed run starts at the batch it needs: nothing is replayed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.config.base import Section
from attnzoo.data import augmentation, masking, token_links
from attnzoo.data import image as image_ops
from attnzoo.data.examples import Examples
from attnzoo.data.ragged import Ragged
from attnzoo.info import END, MASKED_TEXT, PADDING, START, TRANSLATION, DataInfo

Batch = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]
"""(inputs, targets). Targets hold `labels` or `tokens`, `weights` <float32>[batch] (0 for rows that only
fill up the last batch) and `indices` <int32>[batch] of the examples in their split; with class weights also
`loss_weights` <float32>[batch], the products of both, with guided alignment `alignment`
<float32>[batch, target, source], and with mixed images `other_labels` <int32>[batch] and `label_shares`
<float32>[batch], how much of the image is of `labels`."""


MOST_SHAPES = 4
"""Most buckets that one pass over texts uses: compiling more programs takes longer than they save."""


@dataclasses.dataclass(frozen=True)
class PlannedBatch:
    """One batch.

    Attributes:
        indices: <int32>[batch], of examples; the first `count` are real.
        bucket: index into `DataInfo.buckets`.
        texts: text feature -> token ids of all examples.
    """

    indices: np.ndarray
    count: int
    bucket: int
    texts: Mapping[str, Ragged] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """How many examples a batch holds.

    Attributes:
        examples: examples a batch, unless `tokens` is given.
        tokens: most padded tokens a batch, counted on its longest text feature.
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
    examples: Examples, info: DataInfo, sizes: BatchSizes, order: tuple[int, int] | None
) -> list[PlannedBatch]:
    """Returns the batches of one epoch, every example once.

    What does not fill a batch of its bucket goes to the next longer one; only the last batch of the longest
    is filled up, by repeating its examples.

    Args:
        examples: the encoded split.
        info: gives the buckets.
        sizes: examples a batch.
        order: (seed, epoch) of a shuffled epoch; None for an evaluation: the order of the files, and
            few buckets.
    """
    indices = np.arange(len(examples), dtype=np.int32)
    generator = None if order is None else np.random.default_rng(np.random.SeedSequence(order))
    if generator is not None:
        indices = generator.permutation(indices)
    assigned = examples.buckets[indices]
    count = max(1, len(info.buckets))
    used = few_of(count) if generator is None else range(count)
    batches, left = [], indices[:0]
    for bucket in used:
        members = np.concatenate([left, indices[(assigned > bucket - used.step) & (assigned <= bucket)]])
        size = sizes.of(info.buckets[bucket] if info.buckets else {})
        full = len(members) if bucket == used[-1] else len(members) // size * size
        for start in range(0, full, size):
            chosen = members[start : min(start + size, full)]
            batches.append(PlannedBatch(np.resize(chosen, size), len(chosen), bucket, examples.texts))
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
    step = 1 + last // MOST_SHAPES
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
    examples: Examples, info: DataInfo, sizes: BatchSizes
) -> Iterator[tuple[int, PlannedBatch]]:
    """Yields (0, batch) over one pass in the order of the files within each bucket."""
    for planned in plan_epoch(examples, info, sizes, None):
        yield 0, planned


def batches(
    examples: Examples,
    info: DataInfo,
    plans: Iterator[tuple[int, PlannedBatch]],
    *,
    augment: Sequence[Section] = (),
    seed: int = 0,
    class_weights: np.ndarray | None = None,
    guided_alignment: float = 0.0,
) -> Iterator[Batch]:
    """Returns an iterator over batches, in the order of `plans`.

    Args:
        examples: the encoded split.
        info: buckets, image shape and pixel statistics.
        plans: (epoch, batch) in order.
        augment: options of random changes of images (see `augmentation.augment`), keyed by (seed, epoch,
            example), as masks of texts are.
        seed: seed of these.
        class_weights: <float32>[classes], weight of each label's examples in the loss; None for 1.
        guided_alignment: weight of the alignments in the loss; above 0 batches of translation have targets
            `alignment` <float32>[batch, target, source], rows of which sum to it, or to 0 without a link.

    Raises:
        UserError: an image file has been damaged or removed since the run started; while iterating.
    """
    features = examples.text_features

    def rows() -> Iterator[dict[str, Any]]:
        for epoch, planned in plans:
            yield {
                "indices": planned.indices,
                "count": planned.count,
                "epoch": epoch,
                **{
                    name: planned.texts[name].padded(planned.indices, info.buckets[planned.bucket][name])
                    for name in features
                },
            }

    signature = {
        "indices": tf.TensorSpec([None], tf.int32),
        "count": tf.TensorSpec([], tf.int32),
        "epoch": tf.TensorSpec([], tf.int32),
        **{name: tf.TensorSpec([None, None], tf.int32) for name in features},
    }
    with tf.device("/CPU:0"):
        assemble = _assembler(examples, info, augment, seed, class_weights, guided_alignment)
        dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
        dataset = dataset.map(assemble, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return _naming_damaged_images(dataset, examples, info)


def _naming_damaged_images(dataset: tf.data.Dataset, examples: Examples, info: DataInfo) -> Iterator[Batch]:
    """Iterates over the data set; where it fails, looks for the image that cannot be decoded any more."""
    try:
        yield from dataset
    except tf.errors.OpError:
        if examples.images is not None:
            for bad in image_ops.undecodable(examples.images, info.image_shape[2], examples.raw.origin):
                raise bad from None
        raise


def _assembler(
    examples: Examples,
    info: DataInfo,
    augment: Sequence[Section],
    seed: int,
    class_weights: np.ndarray | None,
    guided_alignment: float,
):
    """Returns the graph function from one planned row to a `Batch`."""
    labels = tf.constant(examples.labels)
    read_images = (
        None if examples.images is None else image_ops.read_images(examples.images, info.image_shape)
    )
    links = token_links.token_links(examples, info) if guided_alignment else None

    def assemble(row: dict[str, tf.Tensor]) -> Batch:
        indices = row["indices"]  # [batch]
        seeds = augmentation.seeds(seed, row["epoch"], indices)  # [batch, 2]
        targets = {
            "weights": tf.cast(tf.range(tf.size(indices)) < row["count"], tf.float32),
            "indices": indices,
        }
        inputs = {name: row[name] for name in examples.text_features}
        mixture = None
        if read_images is not None:
            images = read_images(indices)
            images, mixture = augmentation.augment(images, augment, seeds, tf.constant(info.image_mean))
            inputs["image"] = image_ops.standardise(images, info)
        if info.task == TRANSLATION:
            inputs["source"] = end_of_cut(inputs["source"])
            targets["tokens"] = inputs["target"]  # [batch, time], ends with END
            inputs["target"] = shift_right(inputs["target"])
        elif info.task == MASKED_TEXT:
            size = info.vocabulary_sizes["text"]
            inputs["text"], targets["tokens"] = masking.mask(inputs["text"], seeds, size)
        else:
            targets["labels"] = tf.gather(labels, indices)
        if links is not None:
            targets["alignment"] = guided_alignment * token_links.attention_targets(
                links, indices, tf.shape(row["source"])[1], tf.shape(row["target"])[1]
            )
        if mixture is not None:
            targets["label_shares"] = mixture.shares
            targets["other_labels"] = tf.gather(targets["labels"], mixture.partners)
        if class_weights is not None:
            own = tf.gather(class_weights, targets["labels"])
            if mixture is not None:
                others = tf.gather(class_weights, targets["other_labels"])
                own = others + mixture.shares * (own - others)
            targets["loss_weights"] = targets["weights"] * own
        return inputs, targets

    return assemble


def end_of_cut(tokens: tf.Tensor) -> tf.Tensor:
    """Returns rows <int32>[batch, time] in which END is the last token also of a row that was cut."""
    last = tokens[:, -1:]
    return tf.concat([tokens[:, :-1], tf.where(last == PADDING, PADDING, END)], axis=1)


def shift_right(tokens: tf.Tensor) -> tf.Tensor:
    """Returns what a decoder reads to predict `tokens` <int32>[batch, time]: START, then all but the last."""
    start = tf.fill([tf.shape(tokens)[0], 1], START)
    return tf.concat([start, tokens[:, :-1]], axis=1)
