"""Base classes of tasks with one target for one input, a text or an image.

TensorFlow is imported on first use.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from etils import epy

from attnzoo.config import sections
from attnzoo.features.feature import Column, Target
from attnzoo.features.image import image_name
from attnzoo.features.info import DataInfo
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import PredictFn, Predictor, Request

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
    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns the cells of a sample row for the true value and predicted values <float64>[outputs]."""

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a compiled function from inputs to the models' mean values <float64>[batch, outputs]."""
        return target_predictions.mean_prediction_fn(models, info.features["label"])

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> np.ndarray | None:
        """Returns predicted values <float64>[examples, outputs] of a split; None for too many outputs."""
        outputs = info.features["label"].num_outputs
        if outputs > MAX_OUTPUTS:
            return None
        return target_predictions.predict_split(self, predict, examples, info, sizes, outputs)

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
        return target_predictions.text_predictor(predict, info, info.features["label"])


class OneImageTask(OneTargetTask):
    """A task whose input is `image`."""

    input_name: ClassVar[str] = "image"

    def shown_input(self, column: Column, index: int) -> str:
        """Returns the file name or the number of the image."""
        return image_name(column, index)

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
        return target_predictions.image_predictor(predict, info, info.features["label"], request.folder)
