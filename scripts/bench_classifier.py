"""Benchmarks training of a Transformer text classifier against the same model of keras.layers with `fit`.

python scripts/bench_classifier.py --length 512

Both train on texts of `--length` random words with the same batch size, optimizer, dropout and padding mask,
in turn, each in a fresh process. Keras runs with and without XLA. Prints a table: examples per second, the
median over intervals of 10 steps, without compilation and the first steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from side_by_side import PART, in_a_process, print_speeds, train_by_command, train_by_fit

VOCABULARY = 10_000
CLASSES = 2
UNITS, LAYERS, HEADS, FEED_FORWARD, DROPOUT = 128, 2, 4, 512, 0.1
CONFIG = {
    "seed": 1,
    "data": {"name": "csv", "tokenizer": "words", "vocabulary_size": VOCABULARY, "num_buckets": 1},
    "model": {
        "name": "text_classifier",
        "units": UNITS,
        "position": "learned",
        "num_layers": LAYERS,
        "attention": {"name": "multi_head", "num_heads": HEADS},
        "feed_forward_units": FEED_FORWARD,
        "pooling": "mean",
        "dropout": DROPOUT,
    },
    "train": {"learning_rate": 1e-3, "log_every": PART},
}


def write_texts(path: Path, length: int, count: int) -> None:
    """Writes `count` texts of `length` random words."""
    generator = np.random.default_rng(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            words = generator.integers(VOCABULARY - 10, size=length)
            writer.writerow([" ".join(f"w{word}" for word in words), number % CLASSES])


def time_ours(folder: Path, length: int, batch: int, steps: int) -> list[float]:
    """Trains with the command line; returns the logged examples per second, without compilation."""
    count = 10 * batch
    write_texts(folder / "train.csv", length, count)
    write_texts(folder / "validation.csv", length, CLASSES)
    data = {"train": str(folder / "train.csv"), "validation": str(folder / "validation.csv")}
    config = {
        **CONFIG,
        "data": {**CONFIG["data"], **data, "max_length": length},
        "train": {**CONFIG["train"], "batch_size": batch, "steps": steps},
        "eval": {"every": steps},
    }
    return train_by_command(config, folder)


def keras_model(length: int):
    """Returns the model of `CONFIG`, built from Keras layers."""
    import keras

    layers = keras.layers
    tokens = keras.Input([length], dtype="int32")  # [batch, time]
    mask = keras.ops.not_equal(tokens, 0)[:, None, :]  # [batch, 1, time]
    hidden = layers.Embedding(VOCABULARY, UNITS)(tokens)  # [batch, time, units]
    hidden += layers.Embedding(length, UNITS)(keras.ops.arange(length))
    for _ in range(LAYERS):
        normed = layers.LayerNormalization(epsilon=1e-6)(hidden)
        attended = layers.MultiHeadAttention(HEADS, UNITS // HEADS)(normed, normed, attention_mask=mask)
        hidden += layers.Dropout(DROPOUT)(attended)
        inner = layers.Dense(FEED_FORWARD, activation="relu")(layers.LayerNormalization(epsilon=1e-6)(hidden))
        inner = layers.Dense(UNITS)(layers.Dropout(DROPOUT)(inner))
        hidden += layers.Dropout(DROPOUT)(inner)
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(hidden))  # [batch, units]
    return keras.Model(tokens, layers.Dense(CLASSES)(layers.Dropout(DROPOUT)(pooled)))


def time_keras(length: int, batch: int, steps: int, xla: bool) -> list[float]:
    """Trains with `fit` in this process; returns examples per second like `time_ours`."""
    import tensorflow as tf

    generator = np.random.default_rng(1)
    tokens = generator.integers(1, VOCABULARY, size=[10 * batch, length], dtype=np.int32)
    labels = np.arange(10 * batch, dtype=np.int32) % CLASSES
    data = tf.data.Dataset.from_tensor_slices((tokens, labels)).shuffle(len(labels)).repeat()
    return train_by_fit(keras_model(length), data, batch, steps, xla)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=512, help="words per text")
    parser.add_argument("--batch", type=int, default=32, help="texts per batch")
    parser.add_argument("--steps", type=int, default=60, help="steps of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn")
    parser.add_argument("--keras", choices=["xla", "plain"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = (arguments.length, arguments.batch, arguments.steps)
    if arguments.keras:
        print(json.dumps(time_keras(*sizes, arguments.keras == "xla")))
        return
    speeds: dict[str, list[float]] = {"attnzoo": [], "Keras fit, XLA": [], "Keras fit, no XLA": []}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            speeds["attnzoo"] += time_ours(Path(folder), *sizes)
        again = [f"--{name}={value}" for name, value in zip(("length", "batch", "steps"), sizes, strict=True)]
        speeds["Keras fit, XLA"] += in_a_process(__file__, [*again, "--keras=xla"])
        speeds["Keras fit, no XLA"] += in_a_process(__file__, [*again, "--keras=plain"])
        print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr, flush=True)
    print_speeds(speeds, "training", "examples/s")


if __name__ == "__main__":
    main()
