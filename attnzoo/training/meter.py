"""Sums and times between two log lines."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline


class Meter:
    """Collects the sums of steps without waiting for the device, and the time they took."""

    def __init__(self) -> None:
        self.pending: list[tuple[int, list, dict, float]] = []
        self.shapes: set = set()
        self.compilations = 0
        self.compile_seconds = 0.0
        self.reset()

    def reset(self) -> None:
        """Begins a new window."""
        self.seconds = self.waited = self.steady_seconds = 0.0
        self.steady_targets = 0
        self.tokens = self.padding = 0

    def add(self, step: int, group: list[pipeline.Batch], sums: dict, rate: float) -> None:
        """Keeps the result of a step."""
        self.pending.append((step, [targets["indices"] for _, targets in group], sums, rate))
        for inputs, _ in group:
            for name, ids in inputs.items():
                if name != "image":
                    self.tokens += int(tf.size(ids))
                    self.padding += int(tf.size(ids)) - int(np.count_nonzero(ids.numpy()))

    def timed(self, group: list[pipeline.Batch], seconds: float) -> None:
        """Counts the time of a step; the first one of a new shape counts as compilation."""
        self.seconds += seconds
        shape = tuple(tuple(tensor.shape) for inputs, _ in group for tensor in inputs.values())
        if shape in self.shapes:
            self.steady_seconds += seconds
            self.steady_targets += sum(count_targets(targets) for _, targets in group)
        else:
            self.shapes.add(shape)
            self.compilations += 1
            self.compile_seconds += seconds

    def fold(self, window: dict[str, list[float]]) -> list[tuple[int, list[int]]]:
        """Adds pending steps to `window` in order.

        Returns:
            (step, indices of its examples) of every step that was not finite.
        """
        diverged = []
        begin = time.monotonic()
        for step, indices, sums, rate in self.pending:
            values = {name: value.numpy() for name, value in sums.items()}
            if not values.pop("finite") or not np.isfinite(values["loss"]).all():
                diverged.append((step, np.concatenate([part.numpy() for part in indices]).tolist()))
                continue
            pairs = {
                "optimizer/gradient_norm": (values.pop("gradient_norm"), 1.0),
                "optimizer/learning_rate": (rate, 1.0),
                **values,
            }
            for name, pair in pairs.items():
                total = window.setdefault(name, [0.0, 0.0])
                total[0] += float(pair[0])
                total[1] += float(pair[1])
        self.pending = []
        waited_for_device = time.monotonic() - begin
        self.seconds += waited_for_device
        self.steady_seconds += waited_for_device if self.steady_seconds else 0.0
        return diverged

    def speed(self) -> dict[str, float]:
        """Returns targets a second without compilation, and the shares of waiting and padding."""
        values = {
            "speed/targets_per_second": self.steady_targets / self.steady_seconds
            if self.steady_seconds
            else 0.0,
            "speed/input_wait_share": self.waited / self.seconds if self.seconds else 0.0,
        }
        if self.tokens:
            values["data/padding_share"] = self.padding / self.tokens
        return values


def count_targets(targets: dict[str, tf.Tensor]) -> int:
    """Returns how many targets a batch has: tokens that are not padding, or examples."""
    real = targets["weights"].numpy() > 0
    return int(np.count_nonzero(targets["tokens"].numpy()[real]) if "tokens" in targets else real.sum())
