"""What models say that give one target for one input: for whole splits, and for raw inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import token_batches
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.features.feature import Target
from attnzoo.features.image import Image, find_file
from attnzoo.features.info import DataInfo
from attnzoo.records.text_files import object_array
from attnzoo.tasks.evaluating import evaluation_batches
from attnzoo.tasks.serving import ServingModule
from attnzoo.tasks.task import PredictFn, Predictor, Task

Outputs = dict[str, tf.Tensor]


def mean_values(models: Sequence[keras.Model], target: Target) -> PredictFn:
    """Returns a compiled function from inputs to the mean of the models' values <float64>[batch, outputs].

    In float32 the probabilities of sure models would round to 0, which has no logarithm.

    Args:
        models: give outputs <float>[batch, outputs].
        target: makes values of them.
    """

    @tf.function(autograph=False)
    def predict(inputs):
        each = [target.activate(tf.cast(model(inputs, training=False), tf.float64)) for model in models]
        return tf.add_n(each) / len(each)

    return predict


def values_of_split(
    task: Task, predict: PredictFn, examples: Examples, info: DataInfo, sizes: BatchSizes, outputs: int
) -> np.ndarray:
    """Returns the values <float64>[examples, outputs] of a split, in its order."""
    values = np.zeros((len(examples), outputs))
    for indices, of_batch in _by_batch(task, predict, examples, info, sizes):
        values[indices] = of_batch
    return values


def values_at(
    task: Task,
    predict: PredictFn,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    indices: np.ndarray,
) -> list[np.ndarray]:
    """Returns the values <float64>[outputs] of the examples at `indices`."""
    by_index = {
        int(index): row
        for chosen, values in _by_batch(task, predict, examples, info, sizes, indices)
        for index, row in zip(chosen, values, strict=True)
    }
    return [by_index[int(index)] for index in indices]


def _by_batch(
    task: Task,
    predict: PredictFn,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    only: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields indices <int32>[batch] of examples and their values <float64>[batch, outputs]."""
    for inputs, targets in evaluation_batches(task, examples, info, sizes, only):
        real = int(tf.math.count_nonzero(targets["weights"]))
        yield targets["indices"].numpy()[:real], predict(inputs).numpy()[:real]


def text_predictor(predict: PredictFn, info: DataInfo, target: Target) -> Predictor:
    """Returns a function from texts to an answer each, with what `token_batches.length_notes` says.

    Args:
        predict: from `text` <int32>[batch, time] to values <float>[batch, outputs].
        info: of a task about one text.
        target: makes an answer of them.
    """
    tokenizer = info.features["text"].make_tokenizer()
    lengths = token_batches.lengths_of(info, "text")

    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = token_batches.encode(tokenizer, texts)
        answers: list[dict[str, Any]] = [{} for _ in texts]
        for chosen, ids in token_batches.in_batches([row[: lengths[-1]] for row in rows], lengths):
            for index, values in zip(chosen, predict({"text": ids}).numpy(), strict=False):
                notes = token_batches.length_notes(info, "text", len(rows[index]))
                answers[index] = {**target.answer(values), **notes}
        return answers

    return answer


def image_predictor(
    predict: PredictFn, info: DataInfo, target: Target, folder: Path | None = None
) -> Predictor:
    """Returns a function from paths of images to an answer each.

    Args:
        predict: from `image` <float32>[batch, height, width, channels] to values <float>[batch, outputs].
        info: of a task about one image.
        target: makes an answer of them.
        folder: where files are looked for before the working directory; None for nowhere else.

    Raises:
        BadRecord: an image cannot be decoded although its header is in order; while answering.
    """
    feature: Image = info.features["image"]
    reader = feature.raw_reader(None)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def of_files(contents):
        return predict({"image": reader.read(contents)})

    def answer(paths: Sequence[str]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(paths), token_batches.BATCH_SIZE):
            chosen = paths[start : start + token_batches.BATCH_SIZE]
            files = [find_file(path, folder) for path in chosen]
            contents = tf.constant([file.read_bytes() for file in files])
            try:
                values = of_files(contents).numpy()
            except tf.errors.OpError:
                broken = feature.damaged(object_array([str(file) for file in files]), "")
                if broken is None:
                    raise
                raise broken from None
            answers += [
                {"image": path, **target.answer(row), "truncated": False, "beyond_training": False}
                for path, row in zip(chosen, values, strict=True)
            ]
        return answers

    return answer


def serving_module(
    model: keras.Model, info: DataInfo, input_name: str, answer: Callable[[tf.Tensor], Outputs]
) -> ServingModule:
    """Returns an export of a model of one input.

    Args:
        model: gives outputs <float>[batch, outputs].
        info: knows the feature of the input.
        input_name: of that feature.
        answer: graph function from outputs to what the export answers.
    """
    reader = info.features[input_name].raw_reader(info.longest(input_name))

    def serve(raw: tf.Tensor) -> Outputs:
        return answer(model({input_name: reader.read(raw)}, training=False))

    return ServingModule({"serving_default": serve}, input_name, [model, *reader.resources])
