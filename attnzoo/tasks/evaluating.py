"""Evaluation of a model on whole splits, exact for uneven last batches and several replicas."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.explain.view import AttentionView
from attnzoo.features.info import DataInfo
from attnzoo.tasks.sums import to_metrics
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Calibration, PredictFn

OnBatch: TypeAlias = Callable[[str, int, int], None]
"""Called before each batch of an evaluation with what is done ("evaluating", "predicting"), the number of
batches before it and the number of all; an exception that it raises ends the evaluation."""

_HOST = "/CPU:0"


def on_no_batch(what: str, done: int, total: int) -> None:
    """Does nothing: the evaluation is not watched."""


def evaluation_batches(
    task: Task,
    examples: Examples,
    info: DataInfo,
    sizes: pipeline.BatchSizes,
    only: np.ndarray | None = None,
) -> Iterator[pipeline.Batch]:
    """Yields the batches of one pass over a split, or over its examples at indices `only` <int>[n]."""
    plans = pipeline.evaluation_plans(examples, info, sizes, only)
    return pipeline.batches(examples, info, plans, task.make_batch(info, examples, None))


def distribute(strategy: tf.distribute.Strategy, batch: pipeline.Batch) -> pipeline.Batch:
    """Splits a batch evenly over the devices of the replicas; one that is split is returned as it is.

    A single replica takes the whole batch, on the GPU if there is one. TensorFlow keeps <int32> in the memory
    of the host, also on a GPU: what is copied travels as <uint32>, and `received` gives it back.
    """
    replicas = strategy.num_replicas_in_sync
    if any(isinstance(part, tf.distribute.DistributedValues) for part in tf.nest.flatten(batch)):
        return batch
    if replicas == 1:
        gpus = tf.config.list_logical_devices("GPU")
        return _copy_to(gpus[0].name, batch) if gpus else batch
    devices = strategy.extended.worker_devices

    def part(context: tf.distribute.experimental.ValueContext) -> pipeline.Batch:
        number = context.replica_id_in_sync_group
        with tf.device(_HOST):
            own = tf.nest.map_structure(lambda tensor: tf.split(tensor, replicas)[number], batch)
        return _copy_to(devices[number], own)

    return strategy.experimental_distribute_values_from_function(part)


def received(batch: pipeline.Batch) -> pipeline.Batch:
    """Returns the part of a batch that `distribute` gave to a replica, with the types that it had before."""
    return tf.nest.map_structure(
        lambda tensor: tf.bitcast(tensor, tf.int32) if tensor.dtype == tf.uint32 else tensor, batch
    )


def _copy_to(device: str, batch: pipeline.Batch) -> pipeline.Batch:
    def copy(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.dtype == tf.int32:
            with tf.device(_HOST):
                tensor = tf.bitcast(tensor, tf.uint32)
        with tf.device(device):
            return tf.identity(tensor)

    return tf.nest.map_structure(copy, batch)


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of evaluating a model on a split.

    Attributes:
        metrics: name -> number; signatures of metrics are strings.
        details: further results of the task, such as a confusion matrix.
        predictions: the predictions that were scored; None if the task did not make any.
    """

    metrics: dict[str, float | str]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    predictions: Any = None


class Evaluator:
    """Evaluates a model on whole splits, with one compiled step per batch shape.

    Args:
        model: a model of the task.
        task: defines the metrics.
        info: what is known about the data.
        sizes: batch sizes.
        options: the eval section.
        strategy: holds the model's variables.
        xla: whether steps are compiled with XLA.

    Attributes:
        model: the model.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        options: EvalOptions,
        strategy: tf.distribute.Strategy,
        *,
        xla: bool,
    ) -> None:
        self.model, self.task, self.info, self.sizes, self.strategy = model, task, info, sizes, strategy
        self.options = options
        self.predict = task.predict_fn([model], info, options, xla)

        @tf.function(jit_compile=xla, autograph=False)
        def replica_sums(inputs, targets):
            return task.sums(model, info.model_inputs(inputs), targets, None)

        @tf.function(autograph=False)
        def step(inputs, targets):
            sums = strategy.run(lambda *batch: replica_sums(*received(batch)), args=(inputs, targets))
            parts = {name: strategy.experimental_local_results(value) for name, value in sums.items()}
            return {name: sum(tf.cast(part, tf.float64) for part in own) for name, own in parts.items()}

        self._step = step

    def evaluate(
        self, examples: Examples, on_batch: OnBatch = on_no_batch, info: DataInfo | None = None
    ) -> dict[str, float]:
        """Returns all metrics that are ratios of sums, with each example counted once.

        Args:
            examples: the split.
            on_batch: called before each batch.
            info: what is known about the data and answers; None for that of the evaluator.
        """
        info = info or self.info
        totals: dict[str, tf.Tensor] = {}  # they stay on the device until the end
        num_batches = pipeline.num_evaluation_batches(examples, info, self.sizes)
        for number, batch in enumerate(evaluation_batches(self.task, examples, info, self.sizes)):
            on_batch("evaluating", number, num_batches)
            for name, value in self._step(*distribute(self.strategy, batch)).items():
                totals[name] = totals[name] + value if name in totals else value
        return to_metrics({name: value.numpy() for name, value in totals.items()})

    def graph(self, inputs: dict[str, tf.TensorSpec], targets: dict[str, tf.TensorSpec]) -> tf.Graph:
        """Returns the graph of one evaluation step, as evaluations of such batches use it."""
        return self._step.get_concrete_function(inputs, targets).graph

    def report(self, examples: Examples, calibration: Calibration, on_batch: OnBatch = on_no_batch) -> Report:
        """Returns all metrics of the task on a split.

        Args:
            examples: the split.
            calibration: adds the metrics of calibrated predictions, and decides about answers.
            on_batch: called before each batch.
        """
        info = self.task.answering_info(self.info, self.options, calibration)
        metrics: dict[str, float | str] = dict(self.evaluate(examples, on_batch, info))
        predictions = self._predictions(examples, on_batch)
        if predictions is None:
            return Report(metrics)
        metrics |= self.task.corpus_metrics(predictions, examples, info, self.options, calibration)
        return Report(metrics, self.task.details(predictions, examples, info), predictions)

    def pictures(self, report: Report, examples: Examples) -> dict[str, np.ndarray]:
        """Returns tag -> picture <uint8>[height, width, 3] of the predictions of a report."""
        if report.predictions is None:
            return {}
        return self.task.pictures(report.predictions, examples, self.info)

    def corpus_metrics(self, examples: Examples, on_batch: OnBatch = on_no_batch) -> dict[str, float | str]:
        """Returns the metrics that need whole predictions; signatures of metrics are strings."""
        predictions = self._predictions(examples, on_batch)
        if predictions is None:
            return {}
        return self.task.corpus_metrics(predictions, examples, self.info, self.options, {})

    def fit_calibration(self, examples: Examples, on_batch: OnBatch = on_no_batch) -> Calibration:
        """Returns the calibration fitted on a split; empty if the task has none."""
        predictions = self._predictions(examples, on_batch) if self.task.has_calibration else None
        return {} if predictions is None else self.task.fit_calibration(predictions, examples, self.info)

    def _predictions(self, examples: Examples, on_batch: OnBatch) -> Any:
        num_batches = pipeline.num_evaluation_batches(examples, self.info, self.sizes)
        predict = _watched(self.predict, on_batch, num_batches)
        return self.task.predictions(predict, examples, self.info, self.sizes)

    def rows(self, examples: Examples, indices: np.ndarray) -> list[dict[str, str]]:
        """Returns human-readable predictions of the examples at `indices`, one dict per row."""
        return self.task.rows(self.predict, examples, self.info, self.sizes, indices)

    def sample_pictures(self, examples: Examples, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns tag -> pictures of predictions of the examples at `indices`."""
        return self.task.sample_pictures(self.predict, examples, self.info, self.sizes, indices)

    @functools.cached_property
    def attention_view(self) -> AttentionView | None:
        """The view of the model's attention; None if there is nothing to show."""
        return self.task.attention_view(self.model, self.info, self.options)


def _watched(predict: PredictFn, on_batch: OnBatch, num_batches: int) -> PredictFn:
    """Returns a prediction function that calls `on_batch` before each batch, in any thread."""
    numbers = itertools.count()

    def watched(inputs: dict[str, tf.Tensor]) -> Any:
        on_batch("predicting", next(numbers), num_batches)
        return predict(inputs)

    return watched
