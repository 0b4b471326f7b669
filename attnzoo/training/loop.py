"""The training loop: steps, logs, evaluations and checkpoints, in an order that a restart reproduces."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import tensorflow as tf

from attnzoo.config import RunConfig
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.errors import DIVERGED_ADVICE, EXIT_STOPPED, Diverged, UserError
from attnzoo.features.info import DataInfo
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.tasks.sums import to_metrics
from attnzoo.tasks.task import Task
from attnzoo.training import checkpoint, distribution, overfitting, selection
from attnzoo.training.checkpoint import Progress
from attnzoo.training.console import Display, metrics_text
from attnzoo.training.feed import CallsOnDevice, Feed
from attnzoo.training.meter import Meter
from attnzoo.training.records import Records, markdown_table, read_scalars
from attnzoo.training.schedules import learning_rate
from attnzoo.training.step import TrainStep

MAX_SKIPPED_STEPS = 50
"""With mixed_float16, steps that are not finite are skipped; so many between two log lines are divergence."""


class Stopped(UserError):
    """A signal requested the run to stop; everything is saved."""

    def __init__(self, run: RunDir, step: int) -> None:
        super().__init__(
            f"{run.path}: stopped on request after step {step}; run the same command to continue.",
            EXIT_STOPPED,
        )


class Interrupted(Exception):
    """A stop was requested during an evaluation, which is repeated when the run continues."""


class Trainer:
    """Trains one model on one data set.

    Args:
        run: the run folder.
        config: all options.
        info: what is known about the data.
        examples: encoded splits by name.
        task: defines loss and metrics.
        train_step: takes optimizer steps; its variables have been restored from the newest checkpoint.
        evaluator: evaluates the model, or its moving average.
        progress: state of the run, from the same checkpoint.
        records: log writers.
    """

    def __init__(
        self,
        run: RunDir,
        config: RunConfig,
        info: DataInfo,
        examples: dict[str, Examples],
        task: Task,
        train_step: TrainStep,
        evaluator: Evaluator,
        progress: Progress,
        records: Records,
    ) -> None:
        self.run, self.config, self.info, self.examples, self.task = run, config, info, examples, task
        self.train_step, self.evaluator = train_step, evaluator
        self.progress, self.records = progress, records
        train = config.train
        self.sizes = pipeline.BatchSizes(train.batch_size, train.batch_tokens, train.replicas)
        self.total_steps = train.steps or self._num_steps_of_all_epochs()
        self.meter, self._calls = Meter(), CallsOnDevice()
        self.stop_requested = False
        self.validation_losses = read_scalars(run, "validation", "loss")
        batches = self._num_batches(progress.epoch)
        if progress.batches not in (0, batches):
            progress.batch = 0  # Data or batch sizes have changed: the epoch starts again.
        progress.batches = batches
        self.steps_per_call = min(distribution.steps_per_call(train), self.call_limit[0])
        progress.stopped_early = selection.is_patience_exhausted(progress, train)

    def train(self, display: Display, profile: tuple[int, int] | None = None) -> None:
        """Trains to the end.

        Args:
            display: console output.
            profile: first and last step of a TensorBoard profile.

        Raises:
            Stopped: SIGTERM or SIGINT was received (exit code 75).
            Diverged: a loss, a gradient or a weight is not finite (exit code 3).
            UserError: a file cannot be written (exit code 4).
        """
        accumulate = self.config.train.gradient_accumulation_steps
        feed = Feed(self._batches(), self.train_step.place, accumulate, self.steps_per_call)
        with _signals(self._request_stop):
            # The run may have been stopped between a step and its evaluation.
            if self.progress.step and self._evaluate_if_due(display):
                self.save()
            if self.stop_requested:
                raise Stopped(self.run, self.progress.step)
            if self.progress.stopped_early:
                display.line(
                    f"stopped early after step {self.progress.step}: "
                    f"{self.progress.evaluations_since_best} evaluations without improvement; "
                    "raise train.early_stopping_patience to continue"
                )
            saved = time.monotonic()
            while self.progress.step < self.total_steps and not self.progress.stopped_early:
                if profile and self.progress.step + 1 == profile[0]:
                    tf.profiler.experimental.start(str(self.run.logs / "train"))
                self._take_steps(feed, 1 if profile else self._steps_until_due(), display)
                step = self.progress.step
                if profile and step >= profile[0] and step == min(profile[1], self.total_steps):
                    tf.profiler.experimental.stop()
                if self._evaluation_due() or step % self.config.train.log_every == 0:
                    self._log(display)
                evaluated = self._evaluate_if_due(display)
                due = time.monotonic() - saved >= self.config.train.checkpoint_seconds
                if evaluated or due or self.stop_requested:
                    self.save()
                    saved = time.monotonic()
                if self.stop_requested:
                    raise Stopped(self.run, step)

    def save(self) -> None:
        """Writes a checkpoint of the current state, unless a step since the last one diverged."""
        self._fold()
        self.progress.log_sizes = self.records.flush()
        checkpoint.save(self.run, self.train_step, self.progress)
        best = self.progress.best_step
        kept = selection.select_steps(self.run, self.task, best, self.config.eval)
        checkpoint.keep_weights(self.run, {best, *kept})

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def _num_batches(self, epoch: int) -> int:
        """Returns the number of batches of an epoch."""
        return pipeline.num_batches(self.examples["train"], self.info, self.sizes, self.config.seed, epoch)

    def _num_steps_of_all_epochs(self) -> int:
        epochs, accumulate = self.config.train.epochs, self.config.train.gradient_accumulation_steps
        if not self.examples["train"].resamplers:  # all epochs have the same length
            return epochs * math.ceil(self._num_batches(0) / accumulate)
        return sum(math.ceil(self._num_batches(epoch) / accumulate) for epoch in range(epochs))

    def _num_epochs(self) -> float:
        """Returns the number of epochs of the whole training; with `train.steps` it may end inside one."""
        accumulate = self.config.train.gradient_accumulation_steps
        return self.total_steps / math.ceil(self._num_batches(0) / accumulate)

    def _batches(self) -> Iterator[pipeline.Batch]:
        plans = pipeline.training_plans(
            self.examples["train"],
            self.info,
            self.sizes,
            self.config.seed,
            self.progress.epoch,
            self.progress.batch,
        )
        return iter(
            pipeline.batches(
                self.examples["train"],
                self.info,
                plans,
                self.task.make_batch(self.info, self.examples["train"], self.config.train),
                changes=self.config.data,
                seed=self.config.seed,
                num_epochs=self._num_epochs(),
            )
        )

    @property
    def call_limit(self) -> tuple[int, str]:
        """The most steps of any call, and what is due after them."""
        train, every = self.config.train, self.config.eval.every
        epoch = math.ceil(self.progress.batches / train.gradient_accumulation_steps)
        limits = [(train.log_every, "a log line (train.log_every)"), (epoch, "the end of an epoch")]
        return min([*limits, (every, "an evaluation (eval.every)")] if every else limits)

    def _steps_until_due(self) -> int:
        """Returns the number of the next steps between which nothing is due."""
        step, log_every, every = self.progress.step, self.config.train.log_every, self.config.eval.every
        left = [self.total_steps - step, log_every - step % log_every]
        return min([*left, every - step % every] if every else left)

    def _take_steps(self, feed: Feed, steps: int, display: Display) -> None:
        """Takes one optimizer step, or several of those that may be taken in one call."""
        progress = self.progress
        begin = time.monotonic()
        feed.read(steps, progress.batches - progress.batch)
        groups = feed.take(steps)
        loaded = time.monotonic()
        num_shapes = self.meter.num_shapes_with(groups[0].batches)
        if num_shapes is not None:
            display.compiling(num_shapes, max(1, len(self.info.buckets)))
        rates = [
            learning_rate(self.config.train, number, self.total_steps, progress.plateau_factor)
            * progress.rate_factor
            for number in range(progress.step + 1, progress.step + 1 + len(groups))
        ]
        results = self._results([group.placed for group in groups], rates)
        if num_shapes is not None:
            display.training()
        batches = [group.batches for group in groups]
        seconds, waited = time.monotonic() - begin, loaded - begin
        self.meter.add(progress.step + 1, batches, results, rates, seconds=seconds, waited=waited)
        progress.step += len(groups)
        progress.batch += sum(map(len, batches))
        if progress.batch == progress.batches:
            progress.epoch, progress.batch = progress.epoch + 1, 0
            progress.batches = self._num_batches(progress.epoch)
        if distribution.steps_overlap_input():
            self._read_ahead(feed, results[-1]["finite"])

    def _read_ahead(self, feed: Feed, result: tf.Tensor) -> None:
        """Reads the batches of the next call while the device works on the one with this result."""
        begin = time.monotonic()
        self._calls.add(result)
        reading = time.monotonic()
        feed.read(self._steps_until_due(), self.progress.batches - self.progress.batch)
        waited = self._calls.idle_seconds(reading)
        self.meter.add_reading(seconds=time.monotonic() - begin, waited=waited)

    def _results(self, groups: list[list[pipeline.Batch]], rates: list[float]) -> list[dict[str, tf.Tensor]]:
        if len(groups) == 1:
            return [self.train_step.step(groups[0], rates[0])]
        return self.train_step.steps(groups, rates)

    def _evaluate_if_due(self, display: Display) -> bool:
        """Evaluates if it is due; returns whether an evaluation was completed before a stop."""
        if not self._evaluation_due():
            return False
        try:
            self._evaluate(display)
        except Interrupted:
            return False
        finally:
            display.training()
        return True

    def _evaluation_due(self) -> bool:
        progress, every = self.progress, self.config.eval.every
        if progress.evaluated == progress.step:
            return False
        if progress.step >= self.total_steps:
            return True
        return progress.batch == 0 if every is None else progress.step % every == 0

    def _fold(self) -> None:
        """Adds the steps since the last call to the window; raises `Diverged` if one was not finite."""
        diverged = self.meter.fold(self.progress.window)
        scaled = bool(self.train_step.scale_state)
        if diverged and (not scaled or len(diverged) >= MAX_SKIPPED_STEPS):
            step, indices = diverged[0]
            listed = ", ".join(map(str, indices[:10])) + (", ..." if len(indices) > 10 else "")
            raise Diverged(
                f"{self.run.path}: diverged: loss or gradient is not finite at step {step} "
                f"(train examples {listed}); {DIVERGED_ADVICE}, or check these examples."
            )

    def _log(self, display: Display) -> None:
        self._fold()
        progress, meter = self.progress, self.meter
        if not progress.window:
            return
        sums = {name: np.asarray(pair) for name, pair in progress.window.items()}
        values = {**to_metrics(sums), **meter.speed()}
        if not self.info.buckets:
            del values["data/padding_fraction"]
        values["xla/compilations"] = float(meter.compilations)
        values["xla/compile_seconds"] = meter.compile_seconds
        if self.train_step.scale_state:
            values["optimizer/loss_scale"] = float(self.train_step.scale_state[0].numpy())
        progress.seconds += meter.seconds
        self.records.scalars("train", progress.step, values, epoch=progress.epoch)
        speed = values["speed/targets_per_second"]
        display.step(progress.step, values["loss"], speed, meter.compile_seconds, meter.compile_steps)
        progress.window = {}
        meter.reset()

    def _evaluate(self, display: Display) -> None:
        progress = self.progress
        examples, shown_progress = self.examples["validation"], display.evaluation()

        def on_batch(what: str, done: int, total: int) -> None:
            if self.stop_requested:
                raise Interrupted
            shown_progress(what, done, total)

        metrics: dict[str, float | str] = dict(self.evaluator.evaluate(examples, on_batch))
        if self.config.eval.decode == "every":
            metrics.update(self.evaluator.corpus_metrics(examples, on_batch))
        numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
        self.records.scalars("validation", progress.step, numbers, epoch=progress.epoch)
        if self.config.eval.samples:
            self._log_samples(examples)
        progress.evaluated = progress.step
        progress.evaluations += 1
        best = selection.record_evaluation(
            progress, self.config.train, selection.compute_rank(self.task, self.config.eval, numbers)
        )
        position = f"step {progress.step}  epoch {progress.epoch}"
        shown = metrics_text(self.task.on_line(metrics, self.config.eval))
        display.line(f"{position}  validation: {shown}{'  best' if best else ''}")
        self.validation_losses.append(numbers["loss"])
        has_images = any(feature.is_augmented for feature in self.info.features.values())
        for line in overfitting.advice(self.validation_losses, self.config, has_images):
            display.line(line)
        checkpoint.save_weights(self.run, self.evaluator.model, progress.step, metrics)

    def _log_samples(self, examples: Examples) -> None:
        step, view = self.progress.step, self.evaluator.attention_view
        indices = self.task.sample_indices(examples.raw, self.config.eval.samples)
        self.records.text(
            "validation", step, "samples", markdown_table(self.evaluator.rows(examples, indices))
        )
        for tag, pictures in self.evaluator.sample_pictures(examples, indices).items():
            self.records.images("validation", step, tag, pictures)
        rows = view.rows(examples, indices) if view is not None else []
        if rows:
            self.records.text("validation", step, "attention", markdown_table(rows))
        attention = view.pictures(examples, indices) if view is not None else None
        if attention is not None:
            self.records.images("validation", step, "attention", attention)


def num_weights_kept(config: RunConfig) -> int:
    """Returns the number of evaluations whose weights are kept, in addition to the best and the newest."""
    return config.eval.average if config.eval.weights.startswith("average") else 1


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handles SIGTERM and SIGINT while training; a second one while saving has no further effect."""
    old = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
