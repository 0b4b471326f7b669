"""What the benchmarks of training share: how each side is timed, and a table of speeds beside attnzoo's."""

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
"""Steps whose speed is one figure."""
WARM_STEPS = 10
"""Steps before the first that counts; attnzoo reports the steps that compile apart."""


def train_by_command(config: Mapping[str, Any], folder: Path) -> list[float]:
    """Trains by `attnzoo train`; returns examples a second of the logged parts, without compilation.

    Args:
        config: of the run, logging every `PART` steps.
        folder: for config and run.
    """
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "attnzoo", "train", str(path), "--run", str(folder / "run")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
    speeds = [line["speed/targets_per_second"] for line in lines if line["split"] == "train"]
    return speeds[WARM_STEPS // PART :]


def train_by_fit(model, data, batch: int, steps: int, xla: bool) -> list[float]:
    """Trains a Keras classifier by `fit` in this process; returns what `train_by_command` does.

    Args:
        model: gives logits.
        data: `tf.data` set of (input, label) without end, not in batches.
        batch: examples of a batch.
        steps: to train.
        xla: whether Keras compiles with XLA.
    """
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        """The moment after each step."""

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
    """Returns examples a second of each part, of the moments in seconds at which batches were done."""
    ends = np.array(moments)[WARM_STEPS::PART]
    return [float(speed) for speed in PART * batch / np.diff(ends)]


def in_a_process(script: str, arguments: Sequence[str]) -> list[float]:
    """Runs a script for one measurement, which it prints as JSON in its last line."""
    ended = subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def print_speeds(speeds: Mapping[str, Sequence[float]], what: str, unit: str) -> None:
    """Prints a row a system, Markdown: the median of its speeds, and how often attnzoo's is that.

    Args:
        speeds: name of the system -> its speeds; "attnzoo" is among them.
        what: heading of the names.
        unit: heading of the speeds.
    """
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    print(f"| {what} | {unit} | ratio |\n|---|---|---|")
    for name, speed in medians.items():
        print(f"| {name} | {speed:,.0f} | {medians['attnzoo'] / speed:.2f} |")
