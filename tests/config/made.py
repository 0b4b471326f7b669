"""What is known of data that is not there, and batches of it: of any task, for any config."""

import numpy as np
import tensorflow as tf

from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.features.info import DataInfo
from attnzoo.features.text import TextPairOptions

BATCH, LENGTH = 5, 7
VOCABULARY, OTHER_VOCABULARY = 17, 13
LABELS = ("a", "b", "1")


def info_of(config, task) -> DataInfo:
    """What `data.examples.learn` might have learned of data for a config."""
    needed = {name: feature for name, feature in task.features.items() if not feature.is_optional}
    features = {
        name: feature.model_copy(update=LEARNED[feature.kind](config, number))
        for number, (name, feature) in enumerate(needed.items())
    }
    lengths = {name: LENGTH for name, feature in features.items() if feature.has_lengths}
    return DataInfo(task.name, features, buckets=(lengths,) if lengths else ())


def _text(config, number):
    data = config.data
    is_one = isinstance(data, TextPairOptions) and (data.shared_vocabulary or data.tokenizer == "bytes")
    is_one = is_one or config.train.init_from is not None
    return {"vocabulary_size": VOCABULARY if is_one or number == 0 else OTHER_VOCABULARY}


def _image(config, number):
    size = config.data.image_size or 8
    channels = config.data.channels or 1
    sides = (size, size) if isinstance(size, int) else tuple(size)
    return {"shape": (*sides, channels), "mean": (0.5,) * channels, "std": (0.25,) * channels}


def _boxes(config, number):
    height, width, _ = _image(config, number)["shape"]
    return {"names": LABELS, "max_boxes": 3, "canvas": (height, width), "resize": config.data.resize}


def _label(config, number):
    return {"names": config.data.known_labels() or LABELS}


LEARNED = {
    "text": _text,
    "image": _image,
    "boxes": _boxes,
    "label": _label,
    "labels": lambda config, number: {"names": LABELS},
    "number": lambda config, number: {"mean": 3.0, "std": 2.0},
}
"""Kind of a feature -> what is known of it."""


def _objects(generator, boxes):
    """Objects of at least a quarter of the sides, the last slot empty."""
    corner = generator.uniform(0.0, 0.7, (BATCH, boxes.max_boxes, 2))
    kinds = generator.integers(0, len(boxes.names), (BATCH, boxes.max_boxes, 1))
    rows = np.concatenate([corner, corner + 0.25, kinds, np.ones_like(kinds)], axis=-1)
    rows[:, -1] = 0.0
    return rows.astype(np.float32)


def batch_of(config, task, info: DataInfo):
    """A batch of training: inputs and targets."""
    generator = np.random.default_rng(3)
    columns = {name: VALUES[feature.kind](generator, feature) for name, feature in info.features.items()}
    seeds = tf.constant(generator.integers(0, 99, (BATCH, 2)), tf.int32)
    values = {name: tf.constant(column) for name, column in columns.items()}
    augmented = {name: values[name] for name, feature in info.features.items() if feature.is_augmented}
    for feature in info.features.values():
        if feature.is_augmented:
            augmented = feature.augment(augmented, config.data, seeds)
    values |= augmented
    examples = Examples(columns, np.zeros(BATCH, np.int32), Split(columns, "made"))
    row = pipeline.FeatureBatch(values, tf.ones([BATCH]), tf.range(BATCH), seeds)
    return task.make_batch(info, examples, config.train)(row)


VALUES = {
    "text": lambda generator, text: generator.integers(4, text.vocabulary_size, (BATCH, LENGTH), np.int32),
    "image": lambda generator, image: generator.integers(0, 256, (BATCH, *image.shape), np.uint8),
    "boxes": _objects,
    "label": lambda generator, label: generator.integers(0, len(label.names), BATCH, np.int32),
    "labels": lambda generator, labels: generator.integers(0, 2, (BATCH, len(labels.names))).astype(
        np.float32
    ),
    "number": lambda generator, number: generator.normal(3.0, 2.0, BATCH).astype(np.float32),
}
"""Kind of a feature -> values of a batch."""
