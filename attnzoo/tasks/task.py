"""What a task is: everything that depends on what a model is for.

Imports no TensorFlow before it is asked for its work.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from etils import epy

from attnzoo import catalog
from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.explain import view
    from attnzoo.tasks import serving

PredictFn: TypeAlias = Callable[[dict[str, Any]], Any]
"""From the inputs of a batch to what a model makes of each example of it."""
Predictor: TypeAlias = Callable[[Sequence[str]], list[dict[str, Any]]]
"""From raw inputs (texts, or paths of images) to an answer each, which JSON can hold."""
Fitted: TypeAlias = Mapping[str, float]
"""What a task has fitted on validation when a training ends, such as a temperature."""


@dataclasses.dataclass(frozen=True)
class Request:
    """How raw inputs are to be answered.

    Attributes:
        count: answers for each input, where a task has more than one; best first.
        sample: draw answers instead of searching for the best.
        seed: of the draw.
        temperature, top_k, top_p: see `layers.decoding.Sampler`.
        beams: in place of those of the run; None for these.
        xla: compile what runs often, which takes seconds for each shape; None: where there are many inputs.
        folder: where files that inputs name are looked for, before the working directory.
    """

    count: int = 1
    sample: bool = False
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    beams: int | None = None
    xla: bool | None = None
    folder: Path | None = None


class Metric(NamedTuple):
    """What evaluations measure, by which the best of them can be found.

    Attributes:
        higher_is_better: its direction.
        is_of_predictions: whether it needs whole predictions, which `eval.decode: every` makes every time.
    """

    higher_is_better: bool
    is_of_predictions: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One system beside the first.

    Attributes:
        name: of the system.
        metric: what is compared.
        value: of the metric.
        interval: half of the width of its 95 % interval.
        p_value: probability of so large a difference to the first system if there was none; None for the
            first.
    """

    name: str
    metric: str
    value: float
    interval: float
    p_value: float | None


class Task(abc.ABC):
    """What a model is for. A task asks nothing of others, and others ask all of it.

    A subclass is one file of this folder, named after its class. What is abstract here every task has; all
    else is an ability, and its default says that a task does not have it.

    Attributes:
        name: of the task: that of its file.
        features: name -> feature of which nothing is known yet, inputs first, in the order of the batches'
            lengths.
        input_name: the feature that raw input is given for.
        metrics: those of evaluations, `loss` among them, that can select the best weights.
        monitor: the one that does, unless the config names another.
        is_fitted: whether `fit` gives something, which costs predictions of validation.
        compared_by: metric that `compare` holds runs against each other by; None for a task without.
        headline: metrics of the report that tables of runs show besides the monitored one.
        searches: whether answers are searched for, so that beams, counts and draws mean something.
        unit: what a loss is averaged over and speed is counted in, for people ("examples", "tokens").
        TrainOptions: section `train` of the config, with the task's own options.
        EvalOptions: section `eval` of the config, with the task's own options.
    """

    name: ClassVar[str]
    features: ClassVar[Mapping[str, Feature]]
    input_name: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    monitor: ClassVar[str]
    is_fitted: ClassVar[bool] = False
    compared_by: ClassVar[str | None] = None
    headline: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[bool] = False
    unit: ClassVar[str] = "examples"
    TrainOptions: ClassVar[type[sections.TrainOptions]] = sections.TrainOptions
    EvalOptions: ClassVar[type[sections.EvalOptions]] = sections.EvalOptions

    @property
    def compiles_well(self) -> bool:
        """Whether XLA is fast on a CPU at what models of this task do."""
        return all(feature.compiles_well for feature in self.features.values())

    # Config and data

    def monitored(self, options: sections.EvalOptions) -> tuple[str, Metric]:
        """Returns the metric that selects the best weights."""
        name = options.monitor or self.monitor
        return name, self.metrics[name]

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields the options that do not go together: the path of one, and what is wrong with it."""
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
        """Holds the config against the data, and warns of what can hardly be meant.

        Raises:
            UserError: an option names what the data does not have.
        """
        return

    # Training

    @abc.abstractmethod
    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a graph function from the values of a batch to inputs and targets.

        Args:
            info: what is known of the data.
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

        `loss` is one of them: it is what training minimizes, divided by its denominator over the whole batch.

        Args:
            model: gives what the task is about for `inputs`.
            inputs, targets: what `make_batch` made.
            training: the train section, whose losses and dropout are on; None in evaluations.
        """

    # Whole predictions

    @abc.abstractmethod
    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a function from the inputs of a batch to predictions, of one model or of several together.

        Args:
            models: one, or an ensemble.
            info: what is known of the data.
            options: the eval section.
            xla: whether long loops are compiled.
        """

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> Any:
        """Returns what is predicted for a whole split, in its order; None where that is too much to hold."""
        return None

    def corpus_metrics(
        self,
        predictions: Any,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        fitted: Fitted,
    ) -> dict[str, float | str]:
        """Returns the metrics of such predictions; signatures are texts."""
        return {}

    def details(self, predictions: Any, examples: data_examples.Examples, info: DataInfo) -> dict[str, Any]:
        """Returns what else `eval --json` says of such predictions."""
        return {}

    def pictures(
        self, predictions: Any, examples: data_examples.Examples, info: DataInfo
    ) -> dict[str, np.ndarray]:
        """Returns tag -> picture <uint8>[height, width, 3] of such predictions, for TensorBoard."""
        return {}

    def describe(self, details: Mapping[str, Any]) -> list[str]:
        """Returns such details as lines, for a terminal."""
        return []

    def fit(self, predictions: Any, examples: data_examples.Examples) -> Fitted:
        """Returns what calibrates answers, fitted on the predictions of validation; empty for nothing."""
        return {}

    def read_fitted(self, state: Mapping[str, Any]) -> Fitted:
        """Returns what `fit` gave, from JSON that was kept with the weights; older runs have none.

        Raises:
            ValueError: it is not what `fit` can give.
        """
        return {}

    def answering_model(
        self, model: keras.Model, options: sections.EvalOptions, fitted: Fitted
    ) -> keras.Model:
        """Returns the model that people are given answers of.

        Raises:
            ValueError: the options ask for what was not fitted.
        """
        return model

    def compare(
        self,
        systems: Sequence[tuple[str, Any]],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> tuple[list[Comparison], str]:
        """Compares systems with the first: whether they differ by more than chance.

        Args:
            systems: name and predictions of each, two or more.
            examples: what was predicted.
            info: what is known of the data.
            options: the eval section of the first.

        Returns:
            One comparison a system, and how they were made.
        """
        raise NotImplementedError(f"{self.name} says by what runs are compared, and does not compare them")

    # For people

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns which examples stand for a split, <int64>[at most count], ascending: spread over it."""
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
        """Returns predictions of the examples at `indices` <int64>[n], one dict of texts a row."""

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> view.AttentionView | None:
        """Returns what shows where a model attends; None for a task or a model without attention to show.

        Args:
            model: of the task.
            info: what is known of the data.
            options: the eval section.
            layer: whose attention; None for the one nearest to the output.

        Raises:
            UserError: there is no attention of this name.
        """
        return None

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns what to do with a finished run: commands, and what each is for.

        Args:
            folder: of the run.
            attends: whether its model has attention to show.
        """
        commands = [
            (f"tensorboard --logdir {folder}", "curves, samples, options"),
            (f"attnzoo eval {folder}", "metrics again, or of another --split"),
        ]
        if attends:
            commands.append((f"attnzoo attend {folder}", "where it attends"))
        return commands

    # Raw input

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor | None:
        """Returns a function from raw inputs to an answer each; None for a task that answers nothing.

        An answer has what `data.token_batches.length_notes` says of its input.

        Raises:
            UserError: a request that the task cannot fulfill.
        """
        return None

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns an answer of the predictor as one line."""
        return str(dict(answer))

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule | None:
        """Returns what an export holds; None for a task that answers nothing by itself."""
        return None

    def answer_scale(self, info: DataInfo) -> float:
        """Returns the scale of numbers in answers: those of an export may be off by a small part of it."""
        return 1.0

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns what `export.json` says of the task's answers besides their types."""
        return {}

    def score(
        self,
        model: keras.Model,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
    ) -> Iterable[tuple[int, float, int]] | None:
        """Yields index, log probability (nats) of a given target, and its tokens; None for a task without."""
        return None
