"""Base classes of tasks with one target for one input, a text or an image.

TensorFlow is imported on first use.
"""

from __future__ import annotations

import abc
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo.config import sections
from attnzoo.features.feature import Column
from attnzoo.features.image import image_name
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.tasks import top_labels
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import PredictFn, Predictor, Request, WorstExample

with epy.lazy_imports():
    import keras

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline
    from attnzoo.explain import image as image_view
    from attnzoo.explain import text as text_view
    from attnzoo.layers import attention_weights
    from attnzoo.tasks import target_predictions

MAX_OUTPUTS = 1000
"""Predictions of a split with more outputs per example than this are not kept in memory."""
MAX_SAMPLE_CHARACTERS = 200
"""Texts in sample rows are shortened to this."""


class OneTargetTask(Task):
    """One target for one input: features are the input and `label`, a `Target`."""

    @abc.abstractmethod
    def shown_input(self, column: Column, index: int) -> str:
        """Returns the input of an example as text for a sample row."""

    @abc.abstractmethod
    def whole_input(self, column: Column, index: int) -> str:
        """Returns the input of an example as text or file, for a list of all answers."""

    @abc.abstractmethod
    def errors(self, predictions: np.ndarray, truths: np.ndarray, target: Target) -> np.ndarray:
        """Returns how wrong each prediction is <float64>[examples]: larger is worse, 0 is right.

        Args:
            predictions: as `predictions` returns them, [examples, ...].
            truths: the true values, [examples, ...].
            target: the predicted feature.
        """

    @abc.abstractmethod
    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns the cells of a sample row for the true value and predicted values <float64>[outputs]."""

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a compiled function from inputs to the models' mean values <float64>[batch, outputs]."""
        return target_predictions.mean_prediction_fn(models, info, info.features["label"])

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> np.ndarray | None:
        """Returns predicted values <float64>[examples, outputs] of a split; None for too many outputs."""
        if self.prediction_problem(info) is not None:
            return None
        outputs = info.features["label"].num_outputs
        return target_predictions.predict_split(self, predict, examples, info, sizes, outputs)

    def prediction_problem(self, info: DataInfo) -> str | None:
        """Returns that there are too many outputs."""
        outputs = info.features["label"].num_outputs
        if outputs <= MAX_OUTPUTS:
            return None
        return f"a run with {outputs:,} labels; answers to whole splits are for up to {MAX_OUTPUTS:,}"

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the inputs at `indices` with their true and predicted values."""
        inputs, truths = examples.raw.column(self.input_name), examples.encoded["label"]
        predicted = target_predictions.predict_examples(self, predict, examples, info, sizes, indices)
        return [
            {
                self.input_name: self.shown_input(inputs, index),
                **self.target_row(info.features["label"], values, truths[index]),
            }
            for index, values in zip(map(int, indices), predicted, strict=True)
        ]

    def results(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> Iterator[dict[str, Any]]:
        """Yields the input of each example, its true value and the answer of `Target.answer`."""
        inputs, truths = examples.raw.column(self.input_name), examples.encoded["label"]
        for index, values in enumerate(predictions):
            yield self._result(self.whole_input(inputs, index), values, truths[index], info)

    def _result(self, given: str, values: np.ndarray, truth: Any, info: DataInfo) -> dict[str, Any]:
        target: Target = info.features["label"]
        answer = target.answer(np.atleast_1d(values))
        return {self.input_name: given, **target.true_answer(truth), **answer}

    def worst(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        count: int,
    ) -> list[WorstExample]:
        """Returns the examples with the largest `errors`."""
        inputs, truths = examples.raw.column(self.input_name), examples.encoded["label"]
        target: Target = info.features["label"]
        errors = self.errors(predictions, truths, target)
        worst = []
        for index in heapq.nlargest(
            count, np.flatnonzero(errors > 0.0).tolist(), key=lambda one: errors[one]
        ):
            row = self.target_row(target, np.atleast_1d(predictions[index]), truths[index])
            values = self._result(self.whole_input(inputs, index), predictions[index], truths[index], info)
            shown = "  ".join(f"{name} {value}" for name, value in row.items())
            given = " ".join(self.shown_input(inputs, index).split())
            worst.append(WorstExample(f"number {index}", values, f"{shown}: {given}"))
        return worst

    def null_answer(self, info: DataInfo, request: Request) -> dict[str, None]:
        """Returns the keys of an answer without values."""
        target = info.features["label"]
        answer = target.answer(np.zeros(target.num_outputs))
        if request.top is not None:
            answer = top_labels.limited_answer(answer, request.top)
        return dict.fromkeys([*answer, "truncated", "beyond_training"])

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns commands to continue with after training, and what each is for."""
        return [
            *super().next_commands(folder, attends),
            (f"attnzoo predict {folder} FILE", f"predict for {self.input_name}s, one per line"),
            (f"attnzoo export {folder}", "write a SavedModel that takes raw inputs"),
        ]


class OneTextTask(OneTargetTask):
    """A task whose input is `text`."""

    input_name: ClassVar[str] = "text"

    def shown_input(self, column: Column, index: int) -> str:
        """Returns the beginning of the text."""
        return str(column[index][:MAX_SAMPLE_CHARACTERS])

    def whole_input(self, column: Column, index: int) -> str:
        """Returns the text."""
        return str(column[index])

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> text_view.TextView | None:
        """Returns the view of the model's attention in texts; None if it has none."""
        if layer is None and not attention_weights.attention_names(model):
            return None
        return self.text_view(model, info, layer)

    def text_view(self, model: keras.Model, info: DataInfo, layer: str | None) -> text_view.TextView:
        """Returns the view of the attention of a model that has one."""
        return text_view.TextView(model, info, layer)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from texts to the answers of `Target.answer`."""
        predict = self.predict_fn(models, info, options, bool(request.xla))
        predictor = target_predictions.text_predictor(predict, info, info.features["label"])
        return top_labels.limited(predictor, request.top)


class OneImageTask(OneTargetTask):
    """A task whose input is `image`."""

    input_name: ClassVar[str] = "image"

    def shown_input(self, column: Column, index: int) -> str:
        """Returns the file name or the number of the image."""
        return image_name(column, index)

    whole_input = shown_input

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> image_view.ImageView | None:
        """Returns the view of the model's attention in images; None if it has none."""
        if layer is None and not attention_weights.attention_names(model):
            return None
        return image_view.ImageView(model, info, layer)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from paths of images to the answers of `Target.answer`."""
        predict = self.predict_fn(models, info, options, bool(request.xla))
        predictor = target_predictions.image_predictor(predict, info, info.features["label"])
        return top_labels.limited(predictor, request.top)

    def null_answer(self, info: DataInfo, request: Request) -> dict[str, None]:
        """Returns the keys of an answer without values."""
        return {"image": None, **super().null_answer(info, request)}
