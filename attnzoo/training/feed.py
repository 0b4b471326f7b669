"""The batches of the next steps, on the device before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from attnzoo.data.pipeline import Batch


class Group(NamedTuple):
    """The batches of one optimizer step.

    Attributes:
        batches: as they were read, to be counted without waiting for the device.
        placed: the same batches where the step takes them.
    """

    batches: list[Batch]
    placed: list[Batch]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all tensors."""
        return [tuple(part.shape) for batch in self.batches for one in batch for part in one.values()]


class Feed:
    """Reads batches ahead, never beyond the current epoch.

    Args:
        batches: all batches of the training, in order.
        place: puts a batch where the step takes it.
        accumulate: batches of one step; the last step of an epoch may have fewer.
    """

    def __init__(self, batches: Iterator[Batch], place: Callable[[Batch], Batch], accumulate: int) -> None:
        self._batches, self._place, self._accumulate = batches, place, accumulate
        self._groups: deque[Group] = deque()

    def read(self, steps: int, left: int) -> None:
        """Reads what is missing for some steps.

        Args:
            steps: number of the next steps.
            left: number of batches that the steps of this epoch have not used yet.
        """
        left -= sum(len(group.batches) for group in self._groups)
        while len(self._groups) < steps and left > 0:
            batches = [next(self._batches) for _ in range(min(self._accumulate, left))]
            self._groups.append(Group(batches, [self._place(batch) for batch in batches]))
            left -= len(batches)

    def take(self, steps: int) -> list[Group]:
        """Returns the groups of the next steps if they have the same shapes, else only the next group."""
        groups = list(self._groups)[:steps]
        same = len(groups) == steps and all(group.shapes == groups[0].shapes for group in groups)
        return [self._groups.popleft() for _ in range(steps if same else 1)]
