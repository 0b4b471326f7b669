"""The loop of every decoding: first a whole batch with short caches, then what is left with long ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

MIN_ROWS = 8
"""Batches are not split into smaller ones."""


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


class Plan(NamedTuple):
    """Sizes of the two parts of the loop: most targets are as long as their source, and few are far longer.

    Attributes:
        short: positions of the first part.
        long: positions of the second part; None without one.
        rows: of a batch in the second part; None for all at once.
    """

    short: int | tf.Tensor
    long: int | None
    rows: int | None


def plan(source: tf.Tensor, max_length: int | tf.Tensor) -> Plan:
    """Returns the plan for <int32>[batch, source]; sizes that are not known yet are not split."""
    batch, width = source.shape
    if width is None or not isinstance(max_length, int):
        return Plan(max_length, None, None)
    rows = None if batch is None or batch % 2 or batch // 2 < MIN_ROWS else batch // 2
    return Plan(min(width, max_length), max_length, rows)


def repeat(
    advance: Callable[[tf.Tensor, State], State],
    state: State,
    plan: Plan,
    grow: Callable[[Any, int], Any],
) -> Any:
    """Repeats `advance` until every row is done.

    Args:
        advance: from a position <int32>[] and a state to the next state.
        state: the first.
        plan: the sizes; the caches are short ones.
        grow: makes room in caches for so many positions.

    Returns:
        The results of all rows.
    """
    position, state = _until(advance, tf.constant(0), state, plan.short, plan.rows or 0)
    long = plan.long
    if long is None:
        return state.results
    if plan.rows is None:
        if long > plan.short:
            state = state._replace(caches=grow(state.caches, long))
            _, state = _until(advance, position, state, long, 0)
        return state.results
    order = tf.argsort(tf.cast(state.done, tf.int32), stable=True)  # what is left comes first
    left = tf.math.count_nonzero(~state.done, dtype=tf.int32)

    def advance_some(first: tf.Tensor, results: Any) -> tuple[tf.Tensor, Any]:
        rows = tf.slice(order, [first], [plan.rows])
        some: State = tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), state)
        some = some._replace(caches=grow(some.caches, long))
        _, some = _until(advance, position, some, long, 0)
        return first + plan.rows, tf.nest.map_structure(
            lambda every, own: tf.tensor_scatter_nd_update(every, rows[:, None], own), results, some.results
        )

    _, results = tf.while_loop(lambda first, _: first < left, advance_some, (tf.constant(0), state.results))
    return results


def _until(
    advance: Callable[[tf.Tensor, State], State], position: tf.Tensor, state: State, length: int, few: int
) -> tuple[tf.Tensor, State]:
    """Repeats `advance` up to a length, or until only a few rows are left."""

    def unfinished(position, state):
        return (position < length) & (tf.math.count_nonzero(~state.done, dtype=tf.int32) > few)

    return tf.while_loop(
        unfinished, lambda position, state: (position + 1, advance(position, state)), (position, state)
    )
