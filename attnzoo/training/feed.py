"""The batches of the next steps, copied to the device while it works on those before."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import tensorflow as tf

from attnzoo.data.pipeline import Batch

MAX_WAITING_BYTES = 256 << 20
"""Batches that are read ahead take at most this if they are equally large, except those of the next step."""

CALLS_BEFORE_TRACING = 100
"""A number of steps is taken in one call after so many chances for it: tracing costs what such calls save."""


class Group(NamedTuple):
    """The batches of one optimizer step.

    Attributes:
        batches: as they were read, to be counted without waiting for the device.
        placed: the same batches where the step takes them.
    """

    batches: list[Batch]
    placed: list[Batch]

    @property
    def tensors(self) -> list[tf.Tensor]:
        """The tensors of all batches."""
        return [part for batch in self.batches for one in batch for part in one.values()]

    @property
    def num_bytes(self) -> int:
        """The bytes of all tensors."""
        return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in self.tensors)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of all tensors."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors)


class Feed:
    """Reads batches ahead, never beyond the current epoch.

    Args:
        batches: all batches of the training, in order.
        place: puts a batch where the step takes it.
        accumulate: batches of one step; the last step of an epoch may have fewer.
        most: the most steps of a call.
    """

    def __init__(
        self, batches: Iterator[Batch], place: Callable[[Batch], Batch], accumulate: int, most: int
    ) -> None:
        self._batches, self._place = batches, place
        self._accumulate, self._most = accumulate, most
        self._groups: deque[Group] = deque()
        self._possible: Counter[tuple[tuple[tuple[int, ...], ...], int]] = Counter()

    def read(self, steps: int, left: int) -> None:
        """Reads what is missing for the next call.

        Args:
            steps: number of the next steps that may be taken in one call; 0 at the end of the training.
            left: number of batches that the steps of this epoch have not used yet.
        """
        left -= sum(len(group.batches) for group in self._groups)
        waiting = sum(group.num_bytes for group in self._groups)
        while len(self._groups) < min(steps, self._most) and left > 0:
            batches = [next(self._batches) for _ in range(min(self._accumulate, left))]
            group = Group(batches, [self._place(batch) for batch in batches])
            self._groups.append(group)
            left -= len(batches)
            waiting += group.num_bytes
            if waiting + group.num_bytes > MAX_WAITING_BYTES:
                break

    def take(self, steps: int) -> list[Group]:
        """Returns the groups of the next call: the first of those that were read, all of the same shapes.

        Their number is the most steps of a call, or that halved, rounded down, once or more: each number is
        traced on its own, and only if it has been possible often.

        Args:
            steps: number of the next steps that may be taken in one call.
        """
        shapes, same = self._groups[0].shapes, 0
        for group in self._groups:
            if same == steps or group.shapes != shapes:
                break
            same += 1
        number = self._most
        while number > same or not self._is_worth_tracing(shapes, number):
            number //= 2
        return [self._groups.popleft() for _ in range(number)]

    def _is_worth_tracing(self, shapes: tuple[tuple[int, ...], ...], number: int) -> bool:
        self._possible[shapes, number] += 1
        return number == 1 or self._possible[shapes, number] > CALLS_BEFORE_TRACING


class CallsOnDevice:
    """The calls that a GPU works on while the CPU goes on: one runs, and for a moment the next one waits."""

    def __init__(self) -> None:
        self._watcher = ThreadPoolExecutor(1)
        self._calls: deque[Future[float]] = deque()

    def add(self, result: tf.Tensor) -> None:
        """Adds a call by one of its results, and waits for the end of the one before."""
        self._calls.append(self._watcher.submit(_time_of_end, result))
        if len(self._calls) > 1:
            self._calls.popleft().result()

    def idle_seconds(self, begin: float) -> float:
        """Returns for how much of the time since `begin` on the monotonic clock all calls had ended."""
        end, last = time.monotonic(), self._calls[-1]
        return max(0.0, end - max(begin, last.result())) if last.done() else 0.0


def _time_of_end(result: tf.Tensor) -> float:
    result.numpy()  # waits for the device
    return time.monotonic()
