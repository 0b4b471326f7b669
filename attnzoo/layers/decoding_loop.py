"""The loop of every decoding: what is done leaves the batch, and caches grow with the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

FEWEST_ROWS = 8
"""Batches are not made smaller than this."""
MOST_HALVINGS = 2


class State(NamedTuple):
    """What a decoding knows at a position. The first axis of every tensor is the batch.

    Attributes:
        done: <bool>[batch].
        results: what is asked for in the end.
        going_on: what only the next position needs.
        caches: of the models.
    """

    done: tf.Tensor
    results: Any
    going_on: Any
    caches: Any


class Stage(NamedTuple):
    """A part of the loop with shapes of its own: it ends with its length, or when the next has enough rows.

    Attributes:
        rows: of the batch; None as many as there are.
        length: positions that the caches have room for.
    """

    rows: int | None
    length: int


def stages(rows: int | None, source_length: int | None, max_length: int) -> list[Stage]:
    """Returns the stages for a batch: targets are mostly as long as their source, and few are far longer.

    Args:
        rows: of the batch, None if only known later.
        source_length: None if only known later.
        max_length: most target tokens.
    """
    plan = [Stage(rows, max_length)]
    if source_length is not None and source_length < max_length:
        plan.insert(0, Stage(rows, source_length))
    if rows is not None:
        halves = [rows >> count for count in range(1, MOST_HALVINGS + 1)]
        plan += [Stage(half, max_length) for half in halves if half >= FEWEST_ROWS]
    return plan


def repeat(
    advance: Callable[[tf.Tensor, State], State],
    state: State,
    plan: Sequence[Stage],
    grow: Callable[[Any, int], Any],
) -> Any:
    """Repeats `advance` until every row is done.

    Args:
        advance: from a position <int32>[] and a state to the next state.
        state: the first.
        plan: the stages; caches have the length of the first.
        grow: makes room in caches for so many positions.

    Returns:
        The results of all rows.
    """
    position, results = tf.constant(0), state.results
    rows = tf.range(tf.shape(state.done)[0])  # of those that are still in the batch, their place in it at first
    for stage, following in zip(plan, [*plan[1:], None], strict=True):
        enough = 0 if following is None or following.rows == stage.rows else following.rows

        def unfinished(position, state, stage=stage, enough=enough):
            left = tf.math.count_nonzero(~state.done, dtype=tf.int32)
            return (position < stage.length) & (left > enough)

        position, state = tf.while_loop(
            unfinished, lambda position, state: (position + 1, advance(position, state)), (position, state)
        )
        if following is None or following.rows != stage.rows:
            results = _put(results, rows, state.results)
        if following is None:
            break
        if following.rows != stage.rows:
            left = tf.argsort(tf.cast(state.done, tf.int32), stable=True)[: following.rows]
            rows = tf.gather(rows, left)
            state = tf.nest.map_structure(lambda tensor, left=left: tf.gather(tensor, left), state)
        if following.length != stage.length:
            state = state._replace(caches=grow(state.caches, following.length))
    return results


def _put(results: Any, rows: tf.Tensor, new: Any) -> Any:
    """Returns the results with those of some rows replaced."""
    return tf.nest.map_structure(
        lambda whole, part: tf.tensor_scatter_nd_update(whole, rows[:, None], part), results, new
    )
