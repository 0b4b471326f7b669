"""Shared by the training benchmarks: timing of both sides, and a table of speeds."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PART = 10
"""Number of steps per measurement."""
WARMUP_STEPS = 10
"""First steps, which are not counted; attnzoo reports steps that compile separately."""


def train_by_command(config: Mapping[str, Any], folder: Path) -> list[float]:
    """Trains with `attnzoo train`; returns the logged examples per second, without compilation.

    Args:
        config: config of the run, which logs every `PART` steps.
        folder: folder for the config and the run.
    """
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "attnzoo", "train", str(path), "--run", str(folder / "run")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
    speeds = [line["speed/targets_per_second"] for line in lines if line["split"] == "train"]
    return speeds[WARMUP_STEPS // PART :]


def train_by_fit(model, data, batch: int, steps: int, xla: bool) -> list[float]:
    """Trains a Keras classifier with `fit` in this process; returns examples per second.

    Args:
        model: model that returns logits.
        data: infinite `tf.data.Dataset` of (input, label), not batched.
        batch: batch size.
        steps: number of training steps.
        xla: whether Keras compiles with XLA.
    """
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        """Records the time after each step."""

        def on_train_begin(self, logs=None):
            self.moments = [time.perf_counter()]

        def on_train_batch_end(self, step, logs=None):
            self.moments.append(time.perf_counter())

    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=xla,
    )
    clock = Clock()
    batches = data.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model.fit(batches, steps_per_epoch=steps, callbacks=[clock], verbose=0)
    return part_speeds(clock.moments, batch)


def part_speeds(moments: Sequence[float], batch: int) -> list[float]:
    """Returns examples per second of each interval, given the times in seconds after each batch."""
    ends = np.array(moments)[WARMUP_STEPS::PART]
    return [float(speed) for speed in PART * batch / np.diff(ends)]


def in_a_process(script: str, arguments: Sequence[str]) -> list[float]:
    """Runs a script for one measurement, which it prints as JSON on its last line."""
    ended = subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def print_speeds(speeds: Mapping[str, Sequence[float]], what: str, unit: str) -> None:
    """Prints a Markdown table with the median speed of each system, and attnzoo's speed divided by it.

    Args:
        speeds: name of the system -> its speeds, including "attnzoo".
        what: heading of the names.
        unit: heading of the speeds.
    """
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"| {what} | {unit} | ratio |\n|---|---|---|")
    for name, speed in medians.items():
        print(f"| {name} | {speed:,.0f} | {medians['attnzoo'] / speed:.2f} |")
