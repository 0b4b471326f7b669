"""The base class of tasks: everything that depends on what a model is trained to do.

TensorFlow is imported on first use.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo import catalog
from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.tasks.raw_inputs import AnsweringTask
from attnzoo.tasks.types import (
    Calibration,
    Comparison,
    Metric,
    PredictFn,
    WorstExample,
)

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.explain import view


class Task(AnsweringTask, abc.ABC):
    """What a model is trained to do. The other packages reach everything task-specific through it.

    A subclass has a file of its own in this folder, named after the class. Abstract methods are required;
    the other methods are optional, and their defaults mean that a task does not support them. Those about raw
    inputs are in `AnsweringTask`.

    Attributes:
        name: name of the task and of its file.
        features: name -> feature that has not learned anything yet, inputs first, in the order of the
            lengths of a batch.
        input_name: the feature that raw inputs belong to.
        metrics: metrics of evaluations, including `loss`, that can select the best weights.
        monitor: the metric that selects them, unless the config names another.
        has_calibration: whether `fit_calibration` returns values; it needs predictions of validation.
        comparison_metric: the metric of `compare`; None if runs of this task cannot be compared.
        headline: metrics that tables of runs show in addition to the monitored one.
        line_metrics: metrics that a line of training shows, and the monitored one; empty for all.
        unit: what a loss is averaged over and speed is measured in, human-readable ("examples", "tokens").
        TrainOptions: section `train` of the config, with the options of this task.
        EvalOptions: section `eval` of the config, with the options of this task.
    """

    name: ClassVar[str]
    features: ClassVar[Mapping[str, Feature]]
    input_name: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    monitor: ClassVar[str]
    has_calibration: ClassVar[bool] = False
    comparison_metric: ClassVar[str | None] = None
    headline: ClassVar[tuple[str, ...]] = ()
    line_metrics: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = "examples"
    TrainOptions: ClassVar[type[sections.TrainOptions]] = sections.TrainOptions
    EvalOptions: ClassVar[type[sections.EvalOptions]] = sections.EvalOptions

    @property
    def compiles_well(self) -> bool:
        """Whether XLA is fast on a CPU for the models of this task."""
        return all(feature.compiles_well for feature in self.features.values())

    # Config and data

    def monitored(self, options: sections.EvalOptions) -> tuple[str, Metric]:
        """Returns the metric that selects the best weights."""
        name = options.monitor or self.monitor
        return name, self.metrics[name]

    def on_line(
        self, metrics: Mapping[str, float | str], options: sections.EvalOptions
    ) -> dict[str, float | str]:
        """Returns those of the metrics that a line of training shows."""
        shown = {*self.line_metrics, self.monitored(options)[0]} if self.line_metrics else metrics.keys()
        return {name: value for name, value in metrics.items() if name in shown}

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields options that conflict with others: the path of one, and what is wrong with it."""
        yield from ()

    def machine_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields the options that need what is not installed on this machine, and what that is."""
        for feature in self.features.values():
            yield from ((("data", *path), what) for path, what in feature.machine_problems(config.data))

    def unused(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields the options that have no effect for this task, and why."""
        mine = {key for feature in self.features.values() for key in feature.Options.model_fields}
        for kind in catalog.names("features"):
            for key in catalog.load_class("features", kind).Options.model_fields.keys() - mine:
                yield ("data", key), f"{self.name} has no {kind}"
        for column in catalog.load("datasets", config.data.name).COLUMNS.keys() - self.features.keys():
            yield ("data", column), f"{self.name} has no {column}"
        if not any(feature.has_lengths for feature in self.features.values()):
            yield ("train", "batch_tokens"), f"{self.name} has nothing with tokens"
        elif config.train.batch_tokens is not None:
            yield ("train", "batch_size"), "train.batch_tokens is given"

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Checks the config against the data, and warns about options that are probably mistakes.

        Raises:
            UserError: an option names something that the data does not have.
        """
        return

    # Training

    @abc.abstractmethod
    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a graph function from the encoded values of a batch to inputs and targets.

        Args:
            info: what is known about the data.
            examples: the encoded split.
            training: the train section; None in evaluations.
        """

    @abc.abstractmethod
    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns metric -> <float32>[2], a numerator and a denominator.

        `loss` is one of them; training minimizes its numerator divided by its denominator over all batches
        of a step.

        Args:
            model: a model of the task.
            inputs: as `DataInfo.model_inputs` makes them of those that `make_batch` returns.
            targets: as `make_batch` returns them.
            training: the train section, to apply its losses and dropout; None in evaluations.
        """

    # Predictions of whole splits

    @abc.abstractmethod
    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a function from the inputs of a batch to predictions, of one model or an ensemble.

        Args:
            models: one model, or several whose outputs are averaged.
            info: what is known about the data.
            options: the eval section.
            xla: whether decoding loops are compiled with XLA.
        """

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> Any:
        """Returns the predictions of a split, in its order; None if `prediction_problem` says why."""
        return None

    def prediction_problem(self, info: DataInfo) -> str | None:
        """Returns why there are no predictions of whole splits; None if there are."""
        return None

    def corpus_metrics(
        self,
        predictions: Any,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Returns metrics of the predictions of a split; signatures of metrics are strings."""
        return {}

    def details(self, predictions: Any, examples: data_examples.Examples, info: DataInfo) -> dict[str, Any]:
        """Returns further results for `eval --json`."""
        return {}

    def pictures(
        self, predictions: Any, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, np.ndarray]:
        """Returns tag -> picture <uint8>[height, width, 3] of the predictions, for TensorBoard."""
        return {}

    def worst(
        self,
        predictions: Any,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        count: int,
    ) -> list[WorstExample] | None:
        """Returns at most `count` examples, those with the worst predictions first; None if unsupported."""
        return None

    def describe(self, details: Mapping[str, Any]) -> list[str]:
        """Returns `details` as lines for a terminal."""
        return []

    def results(
        self,
        predictions: Any,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> Iterator[dict[str, Any]] | None:
        """Returns input, true value and answer of each example, as JSON; None if unsupported."""
        return None

    def calibrated(self, predictions: Any, options: sections.EvalOptions, calibration: Calibration) -> Any:
        """Returns predictions as answers give them: calibrated if the options ask for it."""
        return predictions

    def fit_calibration(
        self, predictions: Any, examples: data_examples.Examples, info: DataInfo
    ) -> Calibration:
        """Returns the calibration fitted on predictions of validation; empty if the task has none."""
        return {}

    def read_calibration(self, state: Mapping[str, Any]) -> Calibration:
        """Returns the calibration from the JSON state saved with the weights; empty if it has none.

        Raises:
            ValueError: it has invalid values.
        """
        return {}

    def calibration_notes(self, options: sections.EvalOptions, calibration: Calibration) -> Iterator[str]:
        """Yields what the options ask for that was not fitted, and what evaluations do instead."""
        yield from ()

    def answering_info(
        self, info: DataInfo, options: sections.EvalOptions, calibration: Calibration
    ) -> DataInfo:
        """Returns the info with what the options and the calibration decide about answers."""
        return info

    def prediction_model(
        self, model: keras.Model, options: sections.EvalOptions, calibration: Calibration
    ) -> keras.Model:
        """Returns the model for predictions and exports, calibrated if the options ask for it.

        Raises:
            ValueError: the options ask for a calibration that was not fitted.
        """
        return model

    def compare(
        self,
        systems: Sequence[tuple[str, Any]],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> tuple[list[Comparison], str]:
        """Tests whether systems differ significantly from the first.

        Args:
            systems: name and predictions of each, two or more.
            examples: the examples that were predicted.
            info: what is known about the data.
            options: the eval section of the first system.

        Returns:
            One comparison per system, and a description of the test.
        """
        raise NotImplementedError(f"{self.name} has a comparison_metric but does not implement compare")

    # Human-readable output

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of examples that represent a split, <int64>[at most count], ascending."""
        return samples.evenly_spaced(len(split), count)

    @abc.abstractmethod
    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns predictions of the examples at `indices` <int64>[n], one dict of texts per row."""

    def sample_pictures(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Returns tag -> pictures <uint8>[n, height, width, 3] of predictions at `indices` <int64>[n]."""
        return {}

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> view.AttentionView | None:
        """Returns the view of a model's attention; None if the task or the model has none to show.

        Args:
            model: a model of the task.
            info: what is known about the data.
            options: the eval section.
            layer: the attention layer to show; None for the one nearest to the output.

        Raises:
            UserError: there is no attention layer of this name.
        """
        return None

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns commands to continue with after training, and what each is for.

        Args:
            folder: the run folder.
            attends: whether its model has attention to show.
        """
        commands = [
            (f"tensorboard --logdir {folder}", "view curves, samples and options"),
            (
                f"attnzoo eval {folder}",
                "evaluate on test or else validation, or on --data",
            ),
        ]
        if attends:
            commands.append((f"attnzoo attend {folder}", "see where the model attends"))
        return commands
