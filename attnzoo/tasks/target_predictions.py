"""Predictions of models with one target for one input: for whole splits and for raw inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import token_batches
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.features.image import Image, find_file
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.records.text_files import object_array
from attnzoo.tasks.evaluating import evaluation_batches
from attnzoo.tasks.serving import ServingModule, for_any_batch
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import PredictFn, Predictor

Outputs = dict[str, tf.Tensor]


def mean_prediction_fn(models: Sequence[keras.Model], info: DataInfo, target: Target) -> PredictFn:
    """Returns a function from inputs of a batch to the models' mean values <float64>[batch, outputs].

    In float32 the probabilities of confident models would round to 0, whose logarithm is infinite.

    Args:
        models: models with outputs <float>[batch, outputs].
        info: what is known about the data.
        target: converts outputs to values, such as probabilities.
    """

    @tf.function(autograph=False)
    def predict(inputs):
        inputs = info.model_inputs(inputs)
        values = [target.activate(tf.cast(model(inputs, training=False), tf.float64)) for model in models]
        return tf.add_n(values) / len(values)

    return predict


def predict_split(
    task: Task, predict: PredictFn, examples: Examples, info: DataInfo, sizes: BatchSizes, outputs: int
) -> np.ndarray:
    """Returns predicted values <float64>[examples, outputs] of a split, in its order."""
    values = np.zeros((len(examples), outputs))
    for indices, batch_values in _by_batch(task, predict, examples, info, sizes):
        values[indices] = batch_values
    return values


def predict_examples(
    task: Task,
    predict: PredictFn,
    examples: Examples,
    info: DataInfo,
    sizes: BatchSizes,
    indices: np.ndarray,
) -> list[np.ndarray]:
    """Returns predicted values <float64>[outputs] of the examples at `indices`."""
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
    """Yields indices <int32>[batch] of examples and their predicted values <float64>[batch, outputs]."""
    for inputs, targets in evaluation_batches(task, examples, info, sizes, only):
        real = int(tf.math.count_nonzero(targets["weights"]))
        yield targets["indices"].numpy()[:real], predict(inputs).numpy()[:real]


def text_predictor(predict: PredictFn, info: DataInfo, target: Target) -> Predictor:
    """Returns a function from texts to one answer each, with the notes of `token_batches.length_notes`.

    Args:
        predict: from `text` <int32>[batch, time] to values <float>[batch, outputs].
        info: what is known about the data, with a feature `text`.
        target: converts values to an answer.
    """
    tokenizer = info.features["text"].make_tokenizer()
    lengths = token_batches.padding_lengths(info, "text")

    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = token_batches.encode(tokenizer, texts)
        answers: list[dict[str, Any]] = [{} for _ in texts]
        for chosen, ids in token_batches.batch_by_length([row[: lengths[-1]] for row in rows], lengths):
            for index, values in zip(chosen, predict({"text": ids}).numpy(), strict=False):
                notes = token_batches.length_notes(info, "text", len(rows[index]))
                answers[index] = {**target.answer(values), **notes}
        return answers

    return answer


def image_predictor(predict: PredictFn, info: DataInfo, target: Target) -> Predictor:
    """Returns a function from paths of images to one answer each.

    Args:
        predict: from images of a batch to values <float>[batch, outputs].
        info: what is known about the data, with a feature `image`.
        target: converts values to an answer.

    Raises:
        BadRecord: by the returned function: an image has a valid header but cannot be decoded.
    """
    feature: Image = info.features["image"]
    reader = feature.raw_reader(None)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def predict_files(contents):
        return predict({"image": reader.read(contents)})

    def answer(paths: Sequence[str]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(paths), token_batches.BATCH_SIZE):
            chosen = paths[start : start + token_batches.BATCH_SIZE]
            files = [find_file(path) for path in chosen]
            contents = tf.constant([file.read_bytes() for file in files])
            try:
                values = predict_files(contents).numpy()
            except tf.errors.OpError:
                bad_record = feature.find_damaged(object_array([str(file) for file in files]), "")
                if bad_record is None:
                    raise
                raise bad_record from None
            answers += [
                {"image": path, **target.answer(row), "truncated": False, "beyond_training": False}
                for path, row in zip(chosen, values, strict=True)
            ]
        return answers

    return answer


def serving_module(
    model: keras.Model, info: DataInfo, input_name: str, answer: Callable[[tf.Tensor], Outputs]
) -> ServingModule:
    """Returns the export of a model with one input.

    Args:
        model: a model with outputs <float>[batch, outputs].
        info: what is known about the data.
        input_name: name of the input feature.
        answer: graph function from the model's outputs to the outputs of the export.
    """
    reader = info.features[input_name].raw_reader(info.longest(input_name))

    predict = for_any_batch(lambda inputs: model(info.model_inputs(inputs), training=False))

    def serve(raw: tf.Tensor) -> Outputs:
        return answer(predict({input_name: reader.read(raw)}))

    return ServingModule({"serving_default": serve}, input_name, [model, *reader.resources])
