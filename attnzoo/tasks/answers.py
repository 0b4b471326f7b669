"""What tasks share that answer texts: requests, and texts of any length in batches of few shapes."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline, tokenizers
from attnzoo.data.tokenizers import Tokenizer
from attnzoo.info import PADDING, DataInfo

BATCH_SIZE = 32
AT_ONCE = min(4, os.cpu_count() or 1)
"""Batches that are decoded side by side."""

Batch = TypeVar("Batch")
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Request:
    """How texts are to be answered.

    Attributes:
        count: answers for each text, where a task has more than one; best first.
        sample: draw translations instead of searching for the best.
        seed: of the draw.
        temperature, top_k, top_p: see `layers.decoding.Sampler`.
        xla: compile what runs often, which takes seconds for each shape; None: where there are many texts.
    """

    count: int = 1
    sample: bool = False
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    xla: bool | None = None


def lengths_of(info: DataInfo, feature: str) -> list[int]:
    """Returns the few lengths that texts are padded to, shortest first; the last is the longest bucket."""
    lengths = sorted({bucket[feature] for bucket in info.buckets})
    return [lengths[number] for number in pipeline.few_of(len(lengths))]


def by_text(
    predict: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    info: DataInfo,
    describe: Callable[[np.ndarray], dict[str, Any]],
) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    """Returns a function from texts to an answer each, with `cut`: whether the text was cut.

    Args:
        predict: from `text` <int32>[batch, time] to probabilities <float>[batch, classes].
        info: of a task about one text.
        describe: the rest of an answer, of probabilities <float>[classes].
    """
    tokenizer = tokenizers.from_state(info.tokenizers["text"])
    lengths = lengths_of(info, "text")

    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = encode(tokenizer, texts)
        given: list[dict[str, Any]] = [{} for _ in texts]
        for chosen, ids in in_batches([row[: lengths[-1]] for row in rows], lengths):
            for index, values in zip(chosen, predict({"text": ids}).numpy(), strict=False):
                given[index] = {**describe(values), "cut": len(rows[index]) > lengths[-1]}
        return given

    return answer


def encode(tokenizer: Tokenizer, texts: Sequence[str], ends: Sequence[int] = ()) -> list[np.ndarray]:
    """Returns the token ids <int32>[time] of each text, and behind them `ends`."""
    encoded = tokenizer.encode(tf.constant([text.encode("utf-8") for text in texts], tf.string))
    rows = np.split(encoded.flat_values.numpy(), np.cumsum(encoded.row_lengths().numpy())[:-1])
    return [np.concatenate([row, np.asarray(ends, np.int32)]).astype(np.int32) for row in rows]


def side_by_side(run: Callable[[Batch], Found], batches: Iterable[Batch]) -> Iterator[Found]:
    """Yields `run(batch)` of each batch, in order, like `map`.

    Small steps one after another, as in decoding, leave processors idle: several batches run at once, and as
    many results as that are held back.
    """
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running: collections.deque[concurrent.futures.Future[Found]] = collections.deque()
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
