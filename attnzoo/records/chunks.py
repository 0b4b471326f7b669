"""Collects records into lists, of files and of input that arrives while the ones before are answered."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from attnzoo.errors import UserError

Item = TypeVar("Item")

GRACE_SECONDS = 0.01
"""How long a list waits for more items after its first one."""


class _End:
    """The end of the items, and the error that it was, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of `size` items; those before a `UserError` are yielded before it is raised."""
    chunk: list[Item] = []
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except UserError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def live_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of at most `size` items, each as soon as no further item is waiting.

    Another thread reads the items, at most `size` ahead. Those before an error are yielded before it is
    raised.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(size)

    def read() -> None:
        end = _End()
        try:
            for item in items:
                waiting.put(item)
        except BaseException as error:
            end = _End(error)
        waiting.put(end)

    threading.Thread(target=read, daemon=True).start()
    while True:
        chunk, end = _take(waiting, size)
        if chunk:
            yield chunk
        if end is not None:
            if end.error is not None:
                raise end.error
            return


def _take(waiting: queue.Queue[Item | _End], size: int) -> tuple[list[Item], _End | None]:
    """Waits for an item; returns it and the ones after it that are there, and the end if it is reached."""
    item = waiting.get()
    chunk: list[Item] = []
    until = time.monotonic() + GRACE_SECONDS
    while not isinstance(item, _End):
        chunk.append(item)
        if len(chunk) == size:
            return chunk, None
        try:
            left = until - time.monotonic()
            item = waiting.get(timeout=left) if left > 0 else waiting.get_nowait()
        except queue.Empty:
            return chunk, None
    return chunk, item
