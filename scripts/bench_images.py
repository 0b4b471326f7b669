"""Benchmarks training of a residual CNN against Keras, and reading of images against a tf.data pipeline.

python scripts/bench_images.py

Training: the same network, batches and augmentation from the same PNG files, with `attnzoo train` and with
`fit` of a model of keras.layers with and without XLA; images per second, the median over intervals of 10
steps, without compilation and the first steps. Reading: batches of 224 x 224 from JPEG files with random
flips and crops, without a model; attnzoo's are bytes, as the step standardizes them. All run in turn, each in
a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import PART, in_a_process, part_speeds, print_speeds, train_by_command, train_by_fit

CLASSES, SIDE, PADDING = 10, 32, 4
STAGES = [(32, 1), (64, 2), (128, 2)]
DEPTH = 2
CONFIG = {
    "seed": 1,
    "data": {"name": "image_folder", "augment": ["flip", {"name": "shift", "fraction": PADDING / SIDE}]},
    "model": {
        "name": "image_classifier",
        "stages": [{"width": width, "depth": DEPTH, "stride": stride} for width, stride in STAGES],
        "pooling": "mean",
        "dropout": 0.0,
    },
    "train": {"learning_rate": 1e-3, "log_every": PART},
}
PHOTOGRAPH, LARGE = 224, 256


def write_images(folder: Path, count: int, side: int, kind: str) -> None:
    """Writes `count` smooth random images in one folder per class, as "png" or "jpeg"."""
    generator = np.random.default_rng(1)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, [8, 8, 3], dtype=np.uint8))
        path = folder / f"class_{number % CLASSES}" / f"{number}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize([side, side], Image.Resampling.BILINEAR).save(path)


def time_ours(folder: Path, batch: int, steps: int) -> list[float]:
    """Trains with the command line; returns the logged images per second, without compilation."""
    write_images(folder / "train", 10 * batch, SIDE, "png")
    write_images(folder / "validation", CLASSES, SIDE, "png")
    data = {name: str(folder / name) for name in ("train", "validation")}
    config = {
        **CONFIG,
        "data": {**CONFIG["data"], **data},
        "train": {**CONFIG["train"], "batch_size": batch, "steps": steps},
        "eval": {"every": steps},
    }
    return train_by_command(config, folder)


def keras_model():
    """Returns the network of `CONFIG`, built from Keras layers."""
    import keras

    layers = keras.layers
    image = keras.Input([SIDE, SIDE, 3])
    hidden = layers.Conv2D(STAGES[0][0], 3, padding="same", use_bias=False)(image)
    for width, first_stride in STAGES:
        for index in range(DEPTH):
            stride = first_stride if index == 0 else 1
            normed = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
            shortcut = hidden
            if stride > 1 or hidden.shape[-1] != width:
                shortcut = layers.AveragePooling2D(stride, padding="same")(normed) if stride > 1 else normed
                shortcut = layers.Conv2D(width, 1, use_bias=False)(shortcut)
            branch = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(normed)
            branch = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(branch))
            branch = layers.Conv2D(width, 3, padding="same", use_bias=False)(branch)
            hidden = layers.Add()([shortcut, branch])
    hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
    pooled = layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(image, layers.Dense(CLASSES)(pooled))


def hand_written_dataset(folder: Path, side: int, change: Callable):
    """Returns an infinite tf.data.Dataset of (image, label): read, decoded and augmented; not batched."""
    import tensorflow as tf

    files = sorted(str(path) for path in folder.rglob("*.*"))
    labels = [int(Path(path).parent.name.rpartition("_")[2]) for path in files]

    def read(path, label):
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        image = change(tf.ensure_shape(tf.cast(image, tf.float32), [None, None, 3]))
        return tf.ensure_shape(image, [side, side, 3]) / 128.0 - 1.0, label

    data = tf.data.Dataset.from_tensor_slices((files, labels)).shuffle(len(files)).repeat()
    return data.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def time_keras(batch: int, steps: int, xla: bool) -> list[float]:
    """Trains with `fit` in this process; returns images per second like `time_ours`."""
    import tensorflow as tf

    def change(image):
        image = tf.image.random_flip_left_right(image)
        padded = tf.pad(image, [[PADDING, PADDING], [PADDING, PADDING], [0, 0]])
        return tf.image.random_crop(padded, [SIDE, SIDE, 3])

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), 10 * batch, SIDE, "png")
        data = hand_written_dataset(Path(folder), SIDE, change)
        return train_by_fit(keras_model(), data, batch, steps, xla)


def time_reading(batch: int, steps: int, ours: bool) -> list[float]:
    """Reads images in this process; returns images per second, one measurement per 10 batches."""
    from attnzoo.startup import import_tensorflow

    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "train", 8 * batch, LARGE, "jpeg")
        batches = _ours(Path(folder), batch) if ours else _by_hand(Path(folder) / "train", batch)
        moments = []
        for number, _ in enumerate(batches):
            moments.append(time.perf_counter())
            if number == steps:
                break
    return part_speeds(moments, batch)


def _ours(folder: Path, batch: int):
    from attnzoo.config import resolve
    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline
    from attnzoo.data.pipeline import BatchSizes
    from attnzoo.runs.data import load_splits, load_task

    data = {"name": "image_folder", "train": str(folder / "train"), "image_size": [PHOTOGRAPH, PHOTOGRAPH]}
    (folder / "config.yaml").write_text(
        json.dumps({"seed": 1, "data": {**data, "augment": ["flip", "crop"]}, "model": CONFIG["model"]})
    )
    config = resolve(folder / "config.yaml").config
    task = load_task(config)
    info, examples = data_examples.learn(load_splits(config), config.data, task.name, task.features)
    train = examples["train"]
    plans = pipeline.training_plans(train, info, BatchSizes(batch), 1, 0, 0)
    make_batch = task.make_batch(info, train, config.train)
    return pipeline.batches(train, info, plans, make_batch, changes=config.data, seed=1)


def _by_hand(folder: Path, batch: int):
    import tensorflow as tf

    def change(image):
        image = tf.image.random_flip_left_right(image)
        image = tf.image.resize(image, [PHOTOGRAPH, PHOTOGRAPH], antialias=True)
        area, place = tf.random.uniform([], 0.5, 1.0), tf.random.uniform([2])
        side = tf.sqrt(area)
        start = place * (1.0 - side)
        box = tf.concat([start, start + side], axis=0)
        return tf.image.crop_and_resize(image[None], box[None], [0], [PHOTOGRAPH, PHOTOGRAPH])[0]

    return hand_written_dataset(folder, PHOTOGRAPH, change).batch(batch).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="images of a batch")
    parser.add_argument("--steps", type=int, default=60, help="steps of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn")
    parser.add_argument("--one", choices=["xla", "plain", "ours", "hand"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = (arguments.batch, arguments.steps)
    if arguments.one in ("xla", "plain"):
        print(json.dumps(time_keras(*sizes, arguments.one == "xla")))
        return
    if arguments.one:
        print(json.dumps(time_reading(*sizes, arguments.one == "ours")))
        return
    training: dict[str, list[float]] = {"attnzoo": [], "Keras fit, XLA": [], "Keras fit, no XLA": []}
    reading: dict[str, list[float]] = {"attnzoo": [], "tf.data by hand": []}
    again = [f"--batch={arguments.batch}", f"--steps={arguments.steps}"]
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            training["attnzoo"] += time_ours(Path(folder), *sizes)
        training["Keras fit, XLA"] += in_a_process(__file__, [*again, "--one=xla"])
        training["Keras fit, no XLA"] += in_a_process(__file__, [*again, "--one=plain"])
        reading["attnzoo"] += in_a_process(__file__, [*again, "--one=ours"])
        reading["tf.data by hand"] += in_a_process(__file__, [*again, "--one=hand"])
        print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr, flush=True)
    print_speeds(training, "training", "images/s")
    print()
    print_speeds(reading, "reading 224 x 224", "images/s")


if __name__ == "__main__":
    main()
