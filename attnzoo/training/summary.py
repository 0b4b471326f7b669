"""What `train` prints about a run: data, model and device at the start, advice at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras

from attnzoo.config import RunConfig
from attnzoo.features.info import DataInfo
from attnzoo.training import distribution
from attnzoo.training.checkpoint import Progress
from attnzoo.training.console import Display, warn
from attnzoo.training.loop import Trainer
from attnzoo.training.schedules import learning_rate

MIN_EVALUATIONS = 3
"""Advice on the length of the training needs at least so many evaluations."""
MIN_GAIN = 0.005
"""Training is called too short if the last improvement lowered the loss at least by this."""
LENGTH_FACTOR = 1.5
"""The advice is to train so many times as long."""
MIN_JUMP = 1.5
"""Ratio of learning rates that is reported when a run continues with other options."""


def print_summary(display: Display, trainer: Trainer, xla: bool) -> None:
    """Prints the run folder, the data, the model and the device."""
    run, config, info, step = trainer.run, trainer.config, trainer.info, trainer.progress.step
    names = [name for name in ("train", "validation", "test") if name in info.num_examples]
    counts = ", ".join(f"{name} {info.num_examples[name]:,}" for name in names)
    display.line(f"run      {run.path}" + (f" (continuing after step {step})" if step else ""))
    display.line(f"data     {config.data.name}: {counts} examples{_data_details(info)}")
    for feature_name, feature in info.features.items():
        encoded = {name: trainer.examples[name].encoded for name in names}
        columns = {name: values[feature_name] for name, values in encoded.items() if feature_name in values}
        for line in feature.balance(columns):
            display.line(f"         {line}")
    display.line(f"model    {config.model.name}: {_parameter_counts(trainer.train_step.model, config)}")
    display.line(
        f"device   {distribution.describe_device()}, {config.train.replicas} replica(s), "
        f"{config.train.precision}, XLA {'on' if xla else 'off'}"
    )


def _parameter_counts(model: keras.Model, config: RunConfig) -> str:
    text = f"{model.count_params():,} parameters"
    if not config.train.learning_rate_multipliers:
        return text
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return f"{text}, {trained:,} of them trainable"


def _data_details(info: DataInfo) -> str:
    phrases = [feature.summary(name) for name, feature in info.features.items()]
    if info.buckets:
        phrases.append(
            "padded to " + " ".join("x".join(map(str, bucket.values())) for bucket in info.buckets)
        )
    truncated = ", ".join(
        f"{name} {fraction:.2%}" for name, fraction in info.truncated_fraction.items() if fraction
    )
    if truncated:
        phrases.append(f"tokens truncated: {truncated}")
    return "".join(f", {phrase}" for phrase in phrases if phrase)


def warn_of_learning_rate(trainer: Trainer) -> None:
    """Warns that the learning rate of a run that continues with other options jumps up.

    So it does in a longer training: a schedule that falls to 0 over all of it has not fallen so far.
    """
    progress, options, total = trainer.progress, trainer.config.train, trainer.total_steps
    if not 0 < progress.step < total:
        return
    last = float(trainer.train_step.optimizer.learning_rate.numpy())
    same, following = (
        learning_rate(options, step, total, progress.plateau_factor) * progress.rate_factor
        for step in (progress.step, progress.step + 1)
    )
    if same > MIN_JUMP * last:
        warn(
            f"{trainer.run.path}: the learning rate jumps from {last:.3g} (step {progress.step}) to "
            f"{following:.3g} (step {progress.step + 1}): the schedule is {options.schedule} over {total} "
            f"steps from {options.learning_rate:g} now. The loss may rise at first; a lower "
            "train.learning_rate makes the jump smaller, and --restart trains for all steps from scratch."
        )


def warn_of_steps_per_call(trainer: Trainer) -> None:
    """Warns that calls have fewer steps than the config asks for."""
    asked, (limit, what) = trainer.config.train.steps_per_call, trainer.call_limit
    if asked != "auto" and asked > limit:
        warn(
            f"{trainer.run.path}: train.steps_per_call: {asked}: calls take at most {limit} steps, as {what} "
            "is due after them."
        )


def advice(progress: Progress, config: RunConfig, total_steps: int) -> Iterator[str]:
    """Yields advice if the training was probably too short, or much too long."""
    best, patience = progress.best_step, config.train.early_stopping_patience
    if not best or progress.evaluations < MIN_EVALUATIONS:
        return
    if best == progress.step and progress.loss_gain >= MIN_GAIN and not progress.stopped_early:
        key, length = ("steps", total_steps) if config.train.steps else ("epochs", config.train.epochs)
        yield (
            "validation was still improving at the end: consider training longer with "
            f"--set train.{key}={math.ceil(length * LENGTH_FACTOR)} --allow-changed train.{key}"
        )
    elif patience is None and best * 2 <= progress.step and config.eval.weights == "best":
        yield (
            f"no evaluation after step {best} was better: train.early_stopping_patience=3 would end such a "
            "training sooner"
        )
