"""What tasks share that give one target for one input, a text or an image.

Imports no TensorFlow before it is asked for its work.
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
from attnzoo.features.image import shown_name
from attnzoo.features.info import DataInfo
from attnzoo.tasks.task import PredictFn, Predictor, Request, Task

with epy.lazy_imports():
    import keras

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline
    from attnzoo.explain import image as image_view
    from attnzoo.explain import text as text_view
    from attnzoo.layers import attention_weights
    from attnzoo.tasks import target_predictions

MAX_OUTPUTS = 1000
"""Most values of an example that are held for all examples of a split."""
SHOWN_CHARACTERS = 200
"""Characters of a text in a sample row."""


class OneTargetTask(Task):
    """One target for one input: features are the input and `label`, a `Target`."""

    @abc.abstractmethod
    def shown_input(self, column: Column, index: int) -> str:
        """Returns what the input of an example is called in a sample row."""

    @abc.abstractmethod
    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns what a sample row says of the true value and of values <float64>[outputs]."""

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a compiled function from inputs to values <float64>[batch, outputs], the models' mean."""
        return target_predictions.mean_values(models, info.features["label"])

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> np.ndarray | None:
        """Returns the values <float64>[examples, outputs] of a split; None for too many outputs."""
        outputs = info.features["label"].num_outputs
        if outputs > MAX_OUTPUTS:
            return None
        return target_predictions.values_of_split(self, predict, examples, info, sizes, outputs)

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the inputs at `indices` with their true value and what the model says."""
        inputs, truths = examples.raw.column(self.input_name), examples.encoded["label"]
        each = target_predictions.values_at(self, predict, examples, info, sizes, indices)
        return [
            {
                self.input_name: self.shown_input(inputs, index),
                **self.target_row(info.features["label"], values, truths[index]),
            }
            for index, values in zip(map(int, indices), each, strict=True)
        ]

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns what to do with a finished run."""
        return [
            *super().next_commands(folder, attends),
            (f"attnzoo predict {folder} FILE", f"answers to {self.input_name}s, one a line"),
            (f"attnzoo export {folder}", "a SavedModel that takes raw input"),
        ]


class OneTextTask(OneTargetTask):
    """A task of which the input is `text`."""

    input_name: ClassVar[str] = "text"

    def shown_input(self, column: Column, index: int) -> str:
        """Returns the beginning of the text."""
        return str(column[index][:SHOWN_CHARACTERS])

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> text_view.TextView | None:
        """Returns what shows where the model attends in texts; None if it never does."""
        if layer is None and not attention_weights.attention_names(model):
            return None
        return self.text_view(model, info, layer)

    def text_view(self, model: keras.Model, info: DataInfo, layer: str | None) -> text_view.TextView:
        """Returns what shows where a model with attention attends."""
        return text_view.TextView(model, info, layer)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from texts to what `Target.answer` gives."""
        predict = self.predict_fn(models, info, options, bool(request.xla))
        return target_predictions.text_predictor(predict, info, info.features["label"])


class OneImageTask(OneTargetTask):
    """A task of which the input is `image`."""

    input_name: ClassVar[str] = "image"

    def shown_input(self, column: Column, index: int) -> str:
        """Returns the number or the file of the image."""
        return shown_name(column, index)

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> image_view.ImageView | None:
        """Returns what shows where the model attends in images; None if it never does."""
        if layer is None and not attention_weights.attention_names(model):
            return None
        return image_view.ImageView(model, info, layer)

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from paths of images to what `Target.answer` gives."""
        predict = self.predict_fn(models, info, options, bool(request.xla))
        return target_predictions.image_predictor(predict, info, info.features["label"], request.folder)
