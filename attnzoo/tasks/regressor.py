"""Regression on texts and images: one number.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config import sections
from attnzoo.config.base import EffectIf, PositiveFloat
from attnzoo.data.splits import Split
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.tasks.one_target import OneTargetTask
from attnzoo.tasks.types import Calibration, Comparison, Metric, PredictFn

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.losses import huber, squared_error
    from attnzoo.tasks import regression_metrics, serving, sums, target_predictions


class RegressionTrainOptions(sections.TrainOptions):
    """How a regressor is trained."""

    loss: Literal["huber", "squared"] = Field(
        "huber",
        description="huber: Huber loss, quadratic for small errors and linear for large ones; squared: "
        "squared error. Evaluations always report the Huber loss with huber_delta 1.",
    )
    huber_delta: Annotated[PositiveFloat, EffectIf("loss is huber", lambda own: own.loss == "huber")] = Field(
        1.0, description="Error above which the Huber loss is linear, in standard deviations of train."
    )


class RegressionTask(OneTargetTask):
    """Predicts a number for a text or an image: features are the input and `label`, a `Number`."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "mae": Metric(False),
        "rmse": Metric(False, needs_predictions=True),
        "r2": Metric(True, needs_predictions=True),
        "spearman": Metric(True, needs_predictions=True),
    }
    monitor: ClassVar[str] = "mae"
    comparison_metric: ClassVar[str | None] = "mae"
    headline: ClassVar[tuple[str, ...]] = ("spearman",)
    TrainOptions = RegressionTrainOptions

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to the input and targets `numbers` <float32>[batch].

        Numbers are standardized; `unit` <float32>[batch] is one standard deviation. Mixed images have mixed
        numbers.
        """
        number = info.features["label"]

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            numbers = tf.cast(number.standardize(batch.values["label"]), tf.float32)
            if "mixture_fractions" in batch.values:
                others = tf.gather(numbers, batch.values["mixture_partners"])
                numbers = others + batch.values["mixture_fractions"] * (numbers - others)
            unit = tf.fill(tf.shape(numbers), number.std)
            targets = {"weights": batch.weights, "indices": batch.indices, "numbers": numbers, "unit": unit}
            return {self.input_name: batch.values[self.input_name]}, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns the loss of standardized numbers and the mean absolute error in the original unit.

        In evaluations the loss is the Huber loss with a delta of one standard deviation.
        """
        outputs = tf.cast(model(inputs, training=training is not None), tf.float32)[:, 0]
        numbers, weights = targets["numbers"], targets["weights"]
        options = RegressionTrainOptions() if training is None else _train(training)
        if options.loss == "squared":
            losses = squared_error.squared_error(outputs, numbers)
        else:
            losses = huber.huber(outputs, numbers, options.huber_delta)
        distance = tf.abs(outputs - numbers) * targets["unit"]
        return {"loss": sums.ratio(losses, weights), "mae": sums.ratio(distance, weights)}

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> np.ndarray:
        """Returns the predicted numbers <float64>[examples] of a split."""
        values = super().predictions(predict, examples, info, sizes)
        assert values is not None  # there is one output
        return values[:, 0]

    def corpus_metrics(
        self,
        predictions: np.ndarray,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Returns `regression_metrics.compute_metrics` of the predicted numbers of a split."""
        return dict(regression_metrics.compute_metrics(predictions, examples.encoded["label"]))

    def errors(self, predictions: np.ndarray, truths: np.ndarray, target: Target) -> np.ndarray:
        """Returns the absolute errors."""
        return np.abs(predictions - truths)

    def pictures(
        self, predictions: np.ndarray, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, np.ndarray]:
        """Draws predicted over true numbers."""
        return {"predictions": regression_metrics.draw(predictions, examples.encoded["label"])}

    def compare(
        self,
        systems: Sequence[tuple[str, np.ndarray]],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> tuple[list[Comparison], str]:
        """Compares the mean absolute error of systems with that of the first."""
        return regression_metrics.compare(systems, examples.encoded["label"])

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of examples over the whole range of numbers."""
        order = np.argsort(split.column("label"), kind="stable")
        return np.sort(order[samples.evenly_spaced(len(order), count)])

    def target_row(self, target: Target, values: np.ndarray, truth: np.ndarray) -> dict[str, str]:
        """Returns `number` and `predicted`."""
        return {"number": target.format_value(truth), "predicted": target.format_value(values[0])}

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the number."""
        return f"{answer['number']:.9g}"

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from raw inputs to `number` <float32>[batch]."""
        target = info.features["label"]

        def answer(outputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"number": target.activate(tf.cast(outputs, tf.float32))[:, 0]}

        return target_predictions.serving_module(model, info, self.input_name, answer)

    def answer_scale(self, info: DataInfo) -> float:
        """Returns the standard deviation of the training targets."""
        return float(info.features["label"].std)


def _train(training: sections.TrainOptions) -> RegressionTrainOptions:
    assert isinstance(training, RegressionTrainOptions)
    return training
