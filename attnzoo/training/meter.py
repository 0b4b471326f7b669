"""Metric sums and timing between two log lines."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline


class Meter:
    """Collects metric sums without waiting for the device, and measures time.

    Attributes:
        compilations: number of batch shapes so far; the training step is compiled once for each.
        compile_seconds: time of the steps with a new shape.
        compile_steps: number of these steps.
        seconds: time of all steps since `reset`.
    """

    def __init__(self) -> None:
        self.compilations = 0
        self.compile_seconds = 0.0
        self.compile_steps = 0
        self._pending: list[tuple[int, list[pipeline.Batch], dict, float]] = []
        self._batch_shapes: set = set()
        self._call_shapes: set = set()
        self.reset()

    def reset(self) -> None:
        """Starts a new window."""
        self.seconds = self._waited = self._steady_seconds = 0.0
        self._steady_targets = 0

    def num_shapes_with(self, group: list[pipeline.Batch]) -> int | None:
        """Returns the number of batch shapes if these batches add some, which compile; else None."""
        shapes = {*_shapes(group)}
        return None if shapes <= self._batch_shapes else len(self._batch_shapes | shapes)

    def add(
        self,
        step: int,
        groups: list[list[pipeline.Batch]],
        results: list[dict],
        rates: list[float],
        *,
        seconds: float,
        waited: float,
    ) -> None:
        """Records the results of a call of one step or several.

        Args:
            step: number of the first step.
            groups: batches of each step.
            results: the return value of `TrainStep.steps`.
            rates: learning rate of each step.
            seconds: duration of the call, including input.
            waited: time spent waiting for input.
        """
        numbers = range(step, step + len(groups))
        self._pending += zip(numbers, groups, results, rates, strict=True)
        self.seconds += seconds
        self._waited += waited
        shapes = tuple(map(_shapes, groups))
        if shapes in self._call_shapes:
            self._steady_seconds += seconds
            self._steady_targets += sum(count_targets(targets) for group in groups for _, targets in group)
        else:
            self._call_shapes.add(shapes)
            self._batch_shapes.update(*shapes)
            self.compilations = len(self._batch_shapes)
            self.compile_seconds += seconds
            self.compile_steps += len(groups)

    def add_reading(self, *, seconds: float, waited: float) -> None:
        """Records the time of reading ahead after a call, and that in which the device waited for it."""
        self.seconds += seconds
        self._waited += waited
        self._steady_seconds += seconds if self._steady_seconds else 0.0

    def fold(self, window: dict[str, list[float]]) -> list[tuple[int, list[int]]]:
        """Adds pending steps to `window` (name -> [numerator, denominator]) in order.

        Returns:
            (step, indices of its examples) of each step with a loss or gradient that was not finite.
        """
        diverged = []
        begin = time.monotonic()
        for step, group, sums, rate in self._pending:
            values = {name: value.numpy() for name, value in sums.items()}
            if not values.pop("finite") or not np.isfinite(values["loss"]).all():
                indices = np.concatenate([targets["indices"].numpy() for _, targets in group])
                diverged.append((step, indices.tolist()))
                continue
            pairs = {
                "optimizer/gradient_norm": (values.pop("gradient_norm"), 1.0),
                "optimizer/learning_rate": (rate, 1.0),
                "data/padding_fraction": count_padding(group),
                **values,
            }
            for name, pair in pairs.items():
                total = window.setdefault(name, [0.0, 0.0])
                total[0] += float(pair[0])
                total[1] += float(pair[1])
        self._pending = []
        waited_for_device = time.monotonic() - begin
        self.seconds += waited_for_device
        self._steady_seconds += waited_for_device if self._steady_seconds else 0.0
        return diverged

    def speed(self) -> dict[str, float]:
        """Returns targets per second without compilation, and the fraction of time waiting for input."""
        return {
            "speed/targets_per_second": self._steady_targets / max(self._steady_seconds, 1e-9),
            "speed/input_wait_fraction": self._waited / max(self.seconds, 1e-9),
        }


def _shapes(group: list[pipeline.Batch]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Returns the shapes of the inputs of each batch."""
    return tuple(tuple(tuple(tensor.shape) for tensor in inputs.values()) for inputs, _ in group)


def count_padding(group: list[pipeline.Batch]) -> tuple[int, int]:
    """Returns the number of padding token ids in some batches, and the total number of token ids."""
    ids = [tensor.numpy() for inputs, _ in group for tensor in inputs.values() if tensor.dtype.is_integer]
    total = sum(part.size for part in ids)
    return total - sum(np.count_nonzero(part) for part in ids), total


def count_targets(targets: dict[str, tf.Tensor]) -> int:
    """Returns the number of targets in a batch: tokens that are not padding, or examples."""
    real = targets["weights"].numpy() > 0
    return int(np.count_nonzero(targets["tokens"].numpy()[real]) if "tokens" in targets else real.sum())
