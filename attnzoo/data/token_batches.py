"""Texts of any length in batches of few shapes, and batches side by side."""

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
AT_ONCE = min(4, os.cpu_count() or 1)
"""Batches that are decoded side by side."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def lengths_of(info: DataInfo, feature: str) -> list[int]:
    """Returns the few lengths that texts are padded to, shortest first; the last holds all that is read."""
    trained, beyond = (
        sorted({lengths[feature] for lengths in part})
        for part in (info.buckets, info.lengths[len(info.buckets) :])
    )
    few = [trained[number] for number in pipeline.few_of(len(trained))]
    return few + [length for length in beyond if length > few[-1]]


def length_notes(info: DataInfo, feature: str, tokens: int) -> dict[str, bool]:
    """Returns what an answer says of a text of so many tokens.

    `truncated` is whether it has more than are read, `beyond_training` whether more are read than
    training had.
    """
    beyond = min(tokens, info.lengths[-1][feature]) > info.buckets[-1][feature]
    return {"truncated": tokens > info.lengths[-1][feature], "beyond_training": beyond}


def encode(tokenizer: Tokenizer, texts: Sequence[str], ends: Sequence[int] = ()) -> list[np.ndarray]:
    """Returns the token ids <int32>[time] of each text, and behind them `ends`."""
    encoded = tokenizer.encode(tf.constant([text.encode("utf-8") for text in texts], tf.string))
    rows = np.split(encoded.flat_values.numpy(), np.cumsum(encoded.row_lengths().numpy())[:-1])
    return [np.concatenate([row, np.asarray(ends, np.int32)]).astype(np.int32) for row in rows]


def side_by_side(run: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """Yields `run(batch)` of each batch, in order, like `map`.

    Small steps one after another, as in decoding, leave processors idle: several batches run at once, and as
    many results as that are held back.
    """
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        for batch in batches:
            running.append(pool.submit(run, batch))
            if len(running) > AT_ONCE:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def in_batches(
    rows: Sequence[np.ndarray], lengths: Sequence[int], size: int = BATCH_SIZE
) -> Iterator[tuple[list[int], tf.Tensor]]:
    """Yields indices and <int32>[size, length] of rows of like lengths; rows that are missing are padding.

    Args:
        rows: token ids <int32>[time], none longer than the last of `lengths`.
        lengths: what rows are padded to.
        size: rows of every batch.
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        longest = len(rows[chosen[-1]])
        length = next(length for length in lengths if length >= longest)
        batch = np.full((size, length), PADDING, np.int32)
        for place, index in enumerate(chosen):
            batch[place, : len(rows[index])] = rows[index]
        yield chosen, tf.constant(batch)
