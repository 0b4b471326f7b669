"""The training loop: steps, log lines, evaluations, checkpoints, in an order that a restart can repeat."""

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
from attnzoo.training import checkpoint, selection
from attnzoo.training.checkpoint import Progress
from attnzoo.training.console import Display, metrics_text
from attnzoo.training.meter import Meter
from attnzoo.training.records import Records, table
from attnzoo.training.schedules import learning_rate
from attnzoo.training.selection import Rank
from attnzoo.training.step import TrainStep

SKIPPED_STEPS_LIMIT = 50


class Stopped(UserError):
    """A signal asked the run to end; everything is saved."""

    def __init__(self, run: RunDir, step: int) -> None:
        super().__init__(
            f"{run.path}: stopped on request after step {step}; the same command continues.", EXIT_STOPPED
        )


class Interrupted(Exception):
    """A stop was requested during an evaluation; it is done again when the run continues."""


class Trainer:
    """Trains one model on one data set.

    Args:
        run: the run folder.
        config: all options.
        info: what is known of the data.
        examples: encoded splits by name.
        task: says what is measured.
        train_step: takes optimizer steps; its variables and `progress` come from the newest checkpoint.
        evaluator: scores the model, or its moving average.
        progress: where the run stands.
        records: log files.
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
        self.total_steps = train.steps or self._steps_of_all_epochs()
        self.meter = Meter()
        self.stop_requested = False
        batches = self._batches_of(progress.epoch)
        if progress.batches not in (0, batches):
            progress.batch = 0  # Other data or batches than before: the epoch begins again.
        progress.batches = batches
        progress.stopped_early = self._waited_enough()

    def train(self, display: Display, profile: tuple[int, int] | None = None) -> None:
        """Trains to the end.

        Args:
            display: what a person sees.
            profile: first and last step of a TensorBoard trace.

        Raises:
            Stopped: SIGTERM or SIGINT came (exit code 75).
            Diverged: a loss, a gradient or a weight is not finite (exit code 3).
            UserError: the disk does not take what is written (exit code 4).
        """
        batches = self._batches()
        with _signals(self._request_stop):
            # A stop may have come between a step and its evaluation.
            if self.progress.step and self._evaluate_if_due(display):
                self.save()
            if self.stop_requested:
                raise Stopped(self.run, self.progress.step)
            if self.progress.stopped_early:
                display.line(
                    f"stopped early after step {self.progress.step}: "
                    f"{self.progress.evaluations_since_best} evaluations without a better "
                    "one; raise train.early_stopping_patience to go on"
                )
            saved = time.monotonic()
            while self.progress.step < self.total_steps and not self.progress.stopped_early:
                if profile and self.progress.step + 1 == profile[0]:
                    tf.profiler.experimental.start(str(self.run.logs / "train"))
                self._one_step(batches)
                step = self.progress.step
                if profile and step >= profile[0] and step == min(profile[1], self.total_steps):
                    tf.profiler.experimental.stop()
                if self._evaluation_due() or step % self.config.train.log_every == 0:
                    self._log(display)
                evaluated = self._evaluate_if_due(display)
                late = time.monotonic() - saved >= self.config.train.checkpoint_seconds
                if evaluated or late or self.stop_requested:
                    self.save()
                    saved = time.monotonic()
                if self.stop_requested:
                    raise Stopped(self.run, step)

    def save(self) -> None:
        """Writes a checkpoint of this moment; never one with a step that diverged in it."""
        self._fold()
        self.progress.log_sizes = self.records.flush()
        checkpoint.save(self.run, self.train_step, self.progress)
        best = self.progress.best_step
        kept = selection.chosen_steps(self.run, self.task, best, self.config.eval)
        checkpoint.keep_weights(self.run, {best, *kept})

    def _raise_if_stopped(self) -> None:
        if self.stop_requested:
            raise Interrupted

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def _batches_of(self, epoch: int) -> int:
        """Returns the number of batches of an epoch."""
        return pipeline.batches_of_epoch(
            self.examples["train"], self.info, self.sizes, self.config.seed, epoch
        )

    def _steps_of_all_epochs(self) -> int:
        epochs, accumulate = self.config.train.epochs, self.config.train.gradient_accumulation_steps
        if not self.examples["train"].redraws:  # all epochs are as long as the first
            return epochs * math.ceil(self._batches_of(0) / accumulate)
        return sum(math.ceil(self._batches_of(epoch) / accumulate) for epoch in range(epochs))

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
            )
        )

    def _one_step(self, batches: Iterator[pipeline.Batch]) -> None:
        progress = self.progress
        begin = time.monotonic()
        left = progress.batches - progress.batch
        group = [next(batches) for _ in range(min(self.config.train.gradient_accumulation_steps, left))]
        loaded = time.monotonic()
        rate = learning_rate(self.config.train, progress.step + 1, self.total_steps, progress.plateau_factor)
        rate *= progress.rate_factor
        sums = self.train_step.step(group, rate)
        progress.step += 1
        progress.batch += len(group)
        if progress.batch == progress.batches:
            progress.epoch, progress.batch = progress.epoch + 1, 0
            progress.batches = self._batches_of(progress.epoch)
        self.meter.add(
            progress.step, group, sums, rate, seconds=time.monotonic() - begin, waited=loaded - begin
        )

    def _evaluate_if_due(self, display: Display) -> bool:
        """Evaluates where it is time to, unless a stop comes before it is done; says whether it did."""
        if not self._evaluation_due():
            return False
        try:
            self._evaluate(display)
        except Interrupted:
            return False
        return True

    def _evaluation_due(self) -> bool:
        progress, every = self.progress, self.config.eval.every
        if progress.evaluated == progress.step:
            return False
        if progress.step >= self.total_steps:
            return True
        return progress.batch == 0 if every is None else progress.step % every == 0

    def _fold(self) -> None:
        """Adds the steps since the last call to the window, and ends the run where one was not finite."""
        diverged = self.meter.fold(self.progress.window)
        scaled = bool(self.train_step.scale_state)
        if diverged and (not scaled or len(diverged) >= SKIPPED_STEPS_LIMIT):
            step, indices = diverged[0]
            shown = ", ".join(map(str, indices[:10])) + (", ..." if len(indices) > 10 else "")
            raise Diverged(
                f"{self.run.path}: diverged: loss or gradient is not finite at step {step} "
                f"(train examples {shown}); {DIVERGED_ADVICE}, or look at these examples."
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
        self.records.numbers("train", progress.step, values, epoch=progress.epoch)
        display.step(progress.step, values["loss"], values["speed/targets_per_second"])
        progress.window = {}
        meter.reset()

    def _evaluate(self, display: Display) -> None:
        progress = self.progress
        examples = self.examples["validation"]
        shown: dict[str, float | str] = dict(self.evaluator.evaluate(examples, self._raise_if_stopped))
        if self.config.eval.decode == "every":
            shown.update(self.evaluator.corpus_metrics(examples))
        numbers = {name: value for name, value in shown.items() if not isinstance(value, str)}
        self.records.numbers("validation", progress.step, numbers, epoch=progress.epoch)
        if self.config.eval.samples:
            self._show_samples(examples)
        progress.evaluated = progress.step
        progress.evaluations += 1
        best = self._note_result(selection.rank_of(self.task, self.config.eval, numbers))
        place = f"step {progress.step}  epoch {progress.epoch}"
        display.line(f"{place}  validation: {metrics_text(shown)}{'  best' if best else ''}")
        checkpoint.save_weights(self.run, self.evaluator.model, progress.step, shown)

    def _show_samples(self, examples: Examples) -> None:
        step, view = self.progress.step, self.evaluator.attention_view
        indices = self.task.sample_indices(examples.raw, self.config.eval.samples)
        self.records.text("validation", step, "samples", table(self.evaluator.rows(examples, indices)))
        rows = view.rows(examples, indices) if view is not None else []
        if rows:
            self.records.text("validation", step, "attention", table(rows))
        pictures = view.pictures(examples, indices) if view is not None else None
        if pictures is not None:
            self.records.images("validation", step, "attention", pictures)

    def _note_result(self, rank: Rank) -> bool:
        """Updates best, early stopping and plateau; a value that is not finite is never the best."""
        progress, train = self.progress, self.config.train
        is_best = rank.is_finite and (progress.best_rank is None or [*rank] > progress.best_rank)
        if is_best:
            progress.loss_gain = rank.ease - progress.best_rank[1] if progress.best_rank else 0.0
            progress.best_step, progress.best_rank = progress.step, [*rank]
        counted = progress.counted_value
        if is_best and (counted is None or not train.min_delta or rank.value > counted + train.min_delta):
            progress.counted_value = rank.value
            progress.evaluations_since_best = progress.evaluations_since_fall = 0
            return True
        progress.evaluations_since_best += 1
        progress.evaluations_since_fall += 1
        if train.schedule == "plateau" and progress.evaluations_since_fall >= train.schedule_patience:
            least = train.min_learning_rate / train.learning_rate
            progress.plateau_factor = max(progress.plateau_factor * train.schedule_factor, min(least, 1.0))
            progress.evaluations_since_fall = 0
        progress.stopped_early = self._waited_enough()
        return is_best

    def _waited_enough(self) -> bool:
        """Whether early stopping ends the training, as the options are now."""
        patience = self.config.train.early_stopping_patience
        return patience is not None and self.progress.evaluations_since_best >= patience


def weights_kept(config: RunConfig) -> int:
    """Returns the number of evaluations whose weights are kept, besides the best and the newest."""
    return config.eval.average if config.eval.weights.startswith("average") else 1


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Catches SIGTERM and SIGINT while training; a second one while saving changes nothing."""
    old = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
