"""Tiny configs on data that a test makes: a run of each task in seconds."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from attnzoo.config import ResolvedConfig, resolve

GREETINGS = {
    "en": ["good morning", "hello friend", "thank you"],
    "de": ["guten morgen", "hallo freund", "danke"],
}


def text_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A classifier of greetings; train and test are csv files."""
    for split, repeats in (("train", 11), ("test", 3)):
        lines = [
            f"{text} {number},{label}"
            for number in range(repeats)
            for label in GREETINGS
            for text in GREETINGS[label]
        ]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    return write(
        folder,
        "greetings",
        f"""
seed: 3
data: {{name: csv, train: {folder}/train.csv, test: {folder}/test.csv, vocabulary_size: 64, num_buckets: 1}}
model: {{name: text_classifier, units: 16, attention: {{name: multi_head, num_heads: 2}}, dropout: 0.1}}
train: {{epochs: 3, batch_size: 16, learning_rate: 1e-2, log_every: 2}}
eval: {{samples: 3}}
""",
        overrides,
    )


def image_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A classifier of bright and dark PNG files in class folders."""
    generator = np.random.default_rng(5)
    for split, count in (("train", 13), ("test", 5)):
        for label, level in (("bright", 170), ("dark", 20)):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.integers(level, level + 60, (7 + number % 3, 11, 3)).astype(np.uint8)
                path = folder / split / label / f"{number}.png"
                path.write_bytes(tf.io.encode_png(pixels).numpy())
    return write(
        folder,
        "light",
        f"""
seed: 3
data: {{name: image_folder, train: {folder}/train, test: {folder}/test, image_size: [8, 8], augment: [flip]}}
model: {{name: image_classifier, stages: [[5]], attention: {{name: sigmoid}}, dropout: 0.1}}
train: {{epochs: 4, batch_size: 8, learning_rate: 1e-2, log_every: 2}}
eval: {{samples: 3}}
""",
        overrides,
    )


def text_regression_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A regressor of prices, near 1,000, to which every word adds its own."""
    generator = np.random.default_rng(5)
    prices = {"cheap": -40.0, "dear": 30.0, "old": -10.0, "house": 0.0, "hut": 0.0}
    for split, count in (("train", 83), ("test", 29)):
        rows = []
        for number in range(count):
            words = generator.choice(list(prices), generator.integers(2, 6))
            price = 1000.0 + sum(prices[word] for word in words) + generator.normal()
            rows.append(f"{' '.join(words)} n{number % 7},{price:.2f}")
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    return write(
        folder,
        "prices",
        f"""
seed: 3
data: {{name: csv, train: {folder}/train.csv, test: {folder}/test.csv, num_buckets: 1}}
model: {{name: text_regressor, units: 16, attention: additive, num_layers: 1, pooling: attention}}
train: {{epochs: 15, batch_size: 16, learning_rate: 2e-2, log_every: 5, xla: false}}
eval: {{every: 30, samples: 3}}
""",
        overrides,
    )


def image_regression_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A regressor of how bright PNG files are, from a table of their names."""
    generator = np.random.default_rng(5)
    (folder / "images").mkdir(exist_ok=True)
    for split, count in (("train", 53), ("test", 19)):
        rows = []
        for number in range(count):
            level = int(generator.integers(0, 200))
            pixels = generator.integers(level, level + 56, (7 + number % 3, 11, 3)).astype(np.uint8)
            name = f"images/{split}{number}.png"
            (folder / name).write_bytes(tf.io.encode_png(pixels).numpy())
            rows.append(f"{name},{pixels.mean():.1f}")
        (folder / f"{split}.csv").write_text("\n".join(["image,label", *rows]) + "\n", "utf-8")
    return write(
        folder,
        "brightness",
        f"""
seed: 3
data: {{name: image_table, train: {folder}/train.csv, test: {folder}/test.csv, image_size: [8, 8],
  augment: [flip, mixup]}}
model: {{name: image_regressor, stages: [[5]], attention: {{name: sigmoid}}, dropout: 0.0}}
train: {{epochs: 12, batch_size: 8, learning_rate: 1e-2, log_every: 5}}
eval: {{every: 36, samples: 3}}
""",
        overrides,
    )


def translation_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A translator that turns words around, from line-aligned files."""
    generator = np.random.default_rng(7)
    for split, count in (("train", 37), ("test", 7)):
        words = ["".join(generator.choice(list("abc"), generator.integers(2, 5))) for _ in range(count)]
        (folder / f"{split}.a").write_text("\n".join(words) + "\n", "utf-8")
        (folder / f"{split}.b").write_text("\n".join(word[::-1] for word in words) + "\n", "utf-8")
    return write(
        folder,
        "reverse",
        f"""
seed: 3
data:
  name: parallel_text
  train: [{folder}/train.a, {folder}/train.b]
  test: [{folder}/test.a, {folder}/test.b]
  tokenizer: characters
  num_buckets: 2
model: {{name: translation, units: 16, num_encoder_layers: 1, num_decoder_layers: 1, feed_forward_units: 16,
  attention: {{name: multi_head, num_heads: 2}}}}
train: {{epochs: 2, batch_tokens: 60, learning_rate: 1e-2, log_every: 2}}
eval: {{samples: 3}}
""",
        overrides,
    )


def detection_config(folder: Path, *overrides: str) -> ResolvedConfig:
    """A detector of rendered shapes in small images, with attention between the positions of each level."""
    return write(
        folder,
        "shapes",
        """
seed: 3
data: {name: shapes, examples: 48, image_size: 32, resize: letterbox}
model: {name: detector, stages: [[4], [8], [8]], strides: [4, 8], pyramid_units: 8, head_depth: 0,
  attention: {name: multi_head, num_heads: 2}}
train: {steps: 4, batch_size: 8, learning_rate: 1e-2, log_every: 2}
eval: {every: 4, samples: 3}
""",
        overrides,
    )


def write(folder: Path, name: str, text: str, overrides: tuple[str, ...]) -> ResolvedConfig:
    """Writes a config file and resolves it."""
    path = folder / f"{name}.yaml"
    path.write_text(text, "utf-8")
    return resolve(path, list(overrides))
