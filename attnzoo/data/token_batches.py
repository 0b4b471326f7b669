"""Batches texts of any length into few shapes, and runs batches concurrently."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline
from attnzoo.features.info import DataInfo
from attnzoo.special_tokens import PADDING
from attnzoo.text.tokenizers import Tokenizer

BATCH_SIZE = 32
MAX_CONCURRENT = min(4, os.cpu_count() or 1)
"""Number of batches that run concurrently."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def padding_lengths(info: DataInfo, feature: str) -> list[int]:
    """Returns the few lengths that texts are padded to, ascending; the last fits every text as read."""
    trained, beyond = (
        sorted({bucket[feature] for bucket in part})
        for part in (info.buckets, info.lengths[len(info.buckets) :])
    )
    lengths = [trained[number] for number in pipeline.spread_buckets(len(trained))]
    return lengths + [length for length in beyond if length > lengths[-1]]


def length_notes(info: DataInfo, feature: str, tokens: int) -> dict[str, bool]:
    """Returns the flags that an answer has about the length of its text.

    `truncated` is whether the text has more tokens than are read, `beyond_training` whether more tokens are
    read than any text had in training.
    """
    beyond = min(tokens, info.lengths[-1][feature]) > info.buckets[-1][feature]
    return {"truncated": tokens > info.lengths[-1][feature], "beyond_training": beyond}


def encode(tokenizer: Tokenizer, texts: Sequence[str], ends: Sequence[int] = ()) -> list[np.ndarray]:
    """Returns the token ids <int32>[time] of each text, followed by `ends`."""
    encoded = tokenizer.encode(tf.constant([text.encode("utf-8") for text in texts], tf.string))
    rows = np.split(encoded.flat_values.numpy(), np.cumsum(encoded.row_lengths().numpy())[:-1])
    return [np.concatenate([row, np.asarray(ends, np.int32)]).astype(np.int32) for row in rows]


def run_concurrently(run: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """Yields `run(batch)` for each batch, in order, like `map`, with several batches running concurrently.

    Sequences of small operations, as in decoding, would leave processors idle otherwise.

    Examples:
        >>> list(run_concurrently(lambda batch: 2 * batch, range(5)))
        [0, 2, 4, 6, 8]
    """
    with concurrent.futures.ThreadPoolExecutor(MAX_CONCURRENT) as pool:
        running: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        for batch in batches:
            running.append(pool.submit(run, batch))
            if len(running) > MAX_CONCURRENT:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def batch_by_length(
    rows: Sequence[np.ndarray], lengths: Sequence[int], size: int = BATCH_SIZE
) -> Iterator[tuple[list[int], tf.Tensor]]:
    """Yields (indices of rows, batch <int32>[size, length]) with rows of similar length in each batch.

    The last batch is filled up with rows of padding.

    Args:
        rows: token ids <int32>[time] of each text, none longer than the last of `lengths`.
        lengths: lengths that rows may be padded to, ascending.
        size: rows per batch.

    Examples:
        >>> rows = [np.array([5, 6, 7]), np.array([8]), np.array([9, 4])]
        >>> [(indices, batch.shape[1]) for indices, batch in batch_by_length(rows, [2, 4], size=2)]
        [([1, 2], 2), ([0], 4)]
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        longest = len(rows[chosen[-1]])
        length = next(length for length in lengths if length >= longest)
        batch = np.full((size, length), PADDING, np.int32)
        for position, index in enumerate(chosen):
            batch[position, : len(rows[index])] = rows[index]
        yield chosen, tf.constant(batch)
