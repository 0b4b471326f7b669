"""Text in, one label out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import tokenizers
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import DataInfo
from attnzoo.layers.scores import attention_names
from attnzoo.tasks import answers, classification, text_attention
from attnzoo.tasks.answers import Request
from attnzoo.tasks.attended import choose_layer
from attnzoo.tasks.classification import *  # noqa: F403 - a task is all of this and what is below

SHOWN_CHARACTERS = 200


def rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` texts with their label and what the model says."""
    texts = examples.raw.columns["text"]
    found = classification.label_rows(predict, examples, info, sizes, count)
    return [{"text": texts[index][:SHOWN_CHARACTERS], **row} for index, row in found]


def attention_rows(model: keras.Model, info: DataInfo) -> Callable[[Examples, int], list[dict]] | None:
    """Returns a function to the first texts of a split and where the model attends; None if it never does."""
    if not attention_names(model):
        return None
    attend = text_attention.attender(model, info, choose_layer(model))
    return lambda examples, count: text_attention.rows(attend, examples, info, count)


def answerer(
    models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, request: Request
) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    """Returns a function from texts to an answer each.

    An answer has `label`, its `probability`, `probabilities` by label, and `cut`: whether the text was longer
    than the longest bucket.
    """

    def describe(values: np.ndarray) -> dict[str, Any]:
        best = int(values.argmax())
        by_label = dict(zip(info.labels, map(float, values), strict=True))
        return {"label": info.labels[best], "probability": float(values[best]), "probabilities": by_label}

    return answers.by_text(classification.predictor(models, info, options, bool(request.xla)), info, describe)


class Serving(tf.Module):
    """Raw strings in, labels and probabilities out."""

    def __init__(self, model: keras.Model, info: DataInfo) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizers.from_state(info.tokenizers["text"])
        self.labels = tf.constant(list(info.labels))
        self.max_length = info.buckets[-1]["text"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def classify(self, text):
        """Classifies `text` <string>[batch]; texts longer than the longest bucket are cut."""
        ids = self.tokenizer.encode(text)[:, : self.max_length].to_tensor(0)
        ids = tf.pad(ids, [[0, 0], [0, tf.maximum(0, 1 - tf.shape(ids)[1])]])  # at least one position
        return self.answer(self.model({"text": ids}, training=False), self.labels)

    answer = staticmethod(classification.answer)

    def signatures(self) -> dict:
        """Returns signature name -> function."""
        return {"serving_default": self.classify}


def serving(model: keras.Model, info: DataInfo, options: EvalOptions) -> Serving:
    """Returns the module to export."""
    return Serving(model, info)
