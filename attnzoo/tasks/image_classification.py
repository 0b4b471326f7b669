"""An image in, one label out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import image as image_ops
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import DataInfo
from attnzoo.layers.scores import attention_names
from attnzoo.tasks import classification, image_attention
from attnzoo.tasks.classification import *  # noqa: F403 - a task is all of this and what is below


def rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` images, by number or file, with their label and what the model says."""
    column = examples.raw.columns["image"]
    found = classification.label_rows(predict, examples, info, sizes, count)
    return [
        {"image": column[index] if isinstance(column[index], str) else f"number {index}", **row}
        for index, row in found
    ]


def attention_picture(model: keras.Model, info: DataInfo) -> Callable[[Examples, int], np.ndarray] | None:
    """Returns a function to a picture of where the model attends in images; None if it never does."""
    if not attention_names(model):
        return None
    attend = image_attention.attender(model, info)
    return lambda examples, count: image_attention.picture(attend, examples, info, count)


class Serving(tf.Module):
    """Bytes of image files in, labels and probabilities out."""

    def __init__(self, model: keras.Model, info: DataInfo) -> None:
        super().__init__()
        self.model = model
        self.info = info
        self.labels = tf.constant(list(info.labels))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def classify(self, image):
        """Classifies `image` <string>[batch], bytes of JPEG, PNG, GIF (first frame) or BMP of any size."""
        shape = self.info.image_shape
        pixels = tf.map_fn(
            lambda encoded: image_ops.resize(image_ops.decode(encoded, shape[2]), shape),
            image,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        logits = self.model({"image": image_ops.normalise(pixels, self.info)}, training=False)
        return classification.answer(logits, self.labels)

    def signatures(self) -> dict:
        """Returns signature name -> function."""
        return {"serving_default": self.classify}


def serving(model: keras.Model, info: DataInfo, options: EvalOptions) -> Serving:
    """Returns the module to export."""
    return Serving(model, info)
