"""The generation loop: first all rows of a batch with short caches, then unfinished ones with long caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

MIN_ROWS = 8
"""Minimum number of rows that a batch is split into."""


class State(NamedTuple):
    """State of the generation at a position. The first axis of every tensor is the batch.

    Attributes:
        done: <bool>[batch].
        results: tensors that are returned in the end.
        carry: tensors that only the next position needs.
        caches: caches of the models.
    """

    done: tf.Tensor
    results: Any
    carry: Any
    caches: Any


class Plan(NamedTuple):
    """Sizes of the two phases of the loop, as few targets are much longer than their source.

    Attributes:
        short: maximum number of positions in the first phase.
        long: maximum number of positions in the second phase; None without one.
        rows: number of rows processed together in the second phase; None for all.
    """

    short: int | tf.Tensor
    long: int | None
    rows: int | None


def plan(source: tf.Tensor, max_length: int | tf.Tensor) -> Plan:
    """Returns the plan for <int32>[batch, source]; there is no second phase if sizes are not static."""
    batch, width = source.shape
    if width is None or not isinstance(max_length, int):
        return Plan(max_length, None, None)
    rows = None if batch is None or batch % 2 or batch // 2 < MIN_ROWS else batch // 2
    return Plan(min(width, max_length), max_length, rows)


def run(
    advance: Callable[[tf.Tensor, State], State],
    state: State,
    plan: Plan,
    grow: Callable[[Any, int], Any],
) -> Any:
    """Repeats `advance` until every row is done.

    Args:
        advance: maps a position <int32>[] and a state to the next state.
        state: initial state, with caches for `plan.short` positions.
        plan: sizes of both phases.
        grow: extends caches to a number of positions.

    Returns:
        The results of all rows.
    """
    position, state = _advance_until(advance, tf.constant(0), state, plan.short, plan.rows or 0)
    long = plan.long
    if long is None:
        return state.results
    if plan.rows is None:
        if long > plan.short:
            state = state._replace(caches=grow(state.caches, long))
            _, state = _advance_until(advance, position, state, long, 0)
        return state.results
    order = tf.argsort(tf.cast(state.done, tf.int32), stable=True)  # unfinished rows first
    remaining = tf.math.count_nonzero(~state.done, dtype=tf.int32)

    def advance_rows(first: tf.Tensor, results: Any) -> tuple[tf.Tensor, Any]:
        rows = tf.slice(order, [first], [plan.rows])
        selected: State = tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), state)
        selected = selected._replace(caches=grow(selected.caches, long))
        _, selected = _advance_until(advance, position, selected, long, 0)
        results = tf.nest.map_structure(
            lambda result, update: tf.tensor_scatter_nd_update(result, rows[:, None], update),
            results,
            selected.results,
        )
        return first + plan.rows, results

    _, results = tf.while_loop(
        lambda first, _: first < remaining, advance_rows, (tf.constant(0), state.results)
    )
    return results


def _advance_until(
    advance: Callable[[tf.Tensor, State], State],
    position: tf.Tensor,
    state: State,
    length: int,
    max_remaining: int,
) -> tuple[tf.Tensor, State]:
    """Repeats `advance` up to a length, or until at most `max_remaining` rows are unfinished."""

    def unfinished(position, state):
        return (position < length) & (tf.math.count_nonzero(~state.done, dtype=tf.int32) > max_remaining)

    return tf.while_loop(
        unfinished, lambda position, state: (position + 1, advance(position, state)), (position, state)
    )
