"""Checkpoints: everything that a run needs to continue as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from attnzoo.errors import DIVERGED_ADVICE, EXIT_DAMAGED, Diverged, UserError
from attnzoo.files import mebibytes
from attnzoo.runs.folder import RunDir
from attnzoo.training.console import warn
from attnzoo.training.step import TrainStep
from attnzoo.variables import (
    assign,
    by_name,
    num_bytes,
    read_shapes,
    read_tensors,
    read_values,
    size_limit,
    write_tensors,
)

MAX_CHECKPOINTS = 2

Count = Annotated[int, Field(ge=0, lt=2**63)]


@dataclasses.dataclass
class Progress:
    """The state of a run other than its tensors. Saved as JSON.

    Attributes:
        step: number of optimizer steps taken.
        epoch: number of completed epochs.
        batch: number of batches of the current epoch that have been used.
        seconds: training time so far, without evaluations and startup.
        best_step: step of the best evaluation, 0 before the first.
        best_rank: `selection.Rank` of the best evaluation.
        loss_gain: difference in loss between the best evaluation and the best one before it.
        counted_value: `Rank.value` of the last evaluation that improved by more than `train.min_delta`.
        evaluations_since_best: evaluations since that one.
        plateau_factor: product of the reductions by the plateau schedule.
        evaluations_since_fall: evaluations since the last reduction or improvement.
        window: sums since the last logged line: name -> [numerator, denominator].
        evaluated: step of the last evaluation.
        evaluations: number of evaluations.
        recoveries: number of times the run went back to a checkpoint after it diverged.
        rate_factor: product of the learning rate reductions of these recoveries.
        batches: number of batches in the current epoch, to detect that it has changed.
        log_sizes: bytes of each log file; anything that a crashed process wrote after them is removed.
        stopped_early: whether early stopping has ended the training, with the current options.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    step: Count = 0
    epoch: Count = 0
    batch: Count = 0
    seconds: float = 0.0
    best_step: Count = 0
    best_rank: list[float] | None = None
    loss_gain: float = 0.0
    counted_value: float | None = None
    evaluations_since_best: Count = 0
    plateau_factor: float = 1.0
    evaluations_since_fall: Count = 0
    evaluated: Count = 0
    evaluations: Count = 0
    recoveries: Count = 0
    rate_factor: float = 1.0
    batches: Count = 0
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    log_sizes: dict[str, Count] = dataclasses.field(default_factory=dict)
    stopped_early: bool = False


def _variables(train_step: TrainStep) -> dict[str, keras.Variable]:
    """Returns all variables of a checkpoint, by name."""
    groups = {
        "model": train_step.model.variables,
        "optimizer": train_step.optimizer.variables,
        "loss_scale": train_step.scale_state,
        "average": train_step.average.weights if train_step.average is not None else [],
    }
    named: dict[str, keras.Variable] = {}
    for prefix, variables in groups.items():
        named |= by_name(variables, prefix)
    return named


def require_space(run: RunDir, train_step: TrainStep, num_weights_kept: int) -> None:
    """Checks that the checkpoints of a run fit on the disk.

    Args:
        run: the run folder.
        train_step: holds the variables of a checkpoint.
        num_weights_kept: number of evaluations whose weights are kept.

    Raises:
        UserError: they do not fit (exit code 4).
    """
    checkpoint = sum(map(num_bytes, _variables(train_step).values()))
    weights = sum(map(num_bytes, train_step.model.weights))
    needed = (MAX_CHECKPOINTS + 1) * checkpoint + (num_weights_kept + 3) * weights
    written = sum(path.stat().st_size for path in run.checkpoints.rglob("*") if path.is_file())
    free = shutil.disk_usage(run.path).free
    if free + written < needed:
        raise UserError(
            f"{run.path}: {mebibytes(free)} free on this disk, but checkpoints need "
            f"{mebibytes(needed - written)} more; free some space, or choose another folder with --run.",
            EXIT_DAMAGED,
        )


def save(run: RunDir, train_step: TrainStep, progress: Progress) -> None:
    """Writes `checkpoints/step-XXXXXXXX` and removes all but the newest two.

    Raises:
        Diverged: a value is not finite; nothing is written.
        UserError: it cannot be written (exit code 4); older checkpoints are untouched.
    """
    write_step(run, read_values(_variables(train_step)), progress)


def write_step(run: RunDir, values: Mapping[str, np.ndarray], progress: Progress) -> None:
    """Writes a checkpoint like `save`, from values that have been read."""
    _require_finite(run, values, progress.step)
    write_tensors(run.step(progress.step), values, dataclasses.asdict(progress))
    newest = run.steps()[-MAX_CHECKPOINTS:]
    for step in run.steps():
        # Checkpoints of later steps were written before the run went back to an older one.
        if step not in newest or step > progress.step:
            shutil.rmtree(run.step(step), ignore_errors=True)


def _require_finite(run: RunDir, values: Mapping[str, np.ndarray], step: int) -> None:
    for name, value in values.items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise Diverged(
                f"{run.path}: diverged: '{name}' is not finite after step {step}; "
                f"{DIVERGED_ADVICE}; the checkpoints are from before the divergence."
            )


def restore(run: RunDir, train_step: TrainStep) -> Progress | None:
    """Restores the newest intact checkpoint; damaged ones are skipped with a warning.

    Returns:
        Its progress, or None if there is no checkpoint.

    Raises:
        UserError: every checkpoint is damaged, or one does not fit the model (exit code 4).
    """
    variables = _variables(train_step)
    damaged = None
    for step in reversed(run.steps()):
        folder = run.step(step)
        try:
            values, state = read_tensors(folder, size_limit(variables.values()))
        except UserError as error:
            damaged = error
            warn(f"{error} Trying the checkpoint before it.")
            continue
        progress = _progress(state, folder)
        assign(variables, values, folder)
        for later in (number for number in run.evaluated_steps() if number > step):
            shutil.rmtree(run.weights(later), ignore_errors=True)
        return progress
    if damaged is not None:
        raise UserError(
            f"{run.checkpoints}: all checkpoints are damaged; start from scratch with --restart.",
            EXIT_DAMAGED,
        ) from damaged
    return None


def fits(run: RunDir, train_step: TrainStep) -> bool:
    """Returns whether the newest checkpoint has the variables of a train step; True if there is none.

    Raises:
        UserError: it is damaged (exit code 4).
    """
    for step in run.steps()[-1:]:
        shapes = read_shapes(run.step(step))
        return shapes == {name: tuple(one.shape) for name, one in _variables(train_step).items()}
    return True


def _progress(state: dict[str, Any], folder: Path) -> Progress:
    names = {field.name for field in dataclasses.fields(Progress)}
    if set(state) != names:
        raise UserError(
            f"{folder}: written by another version of attnzoo ({sorted(set(state) ^ names)} differ); "
            "finish the run with that version or start from scratch with --restart.",
            EXIT_DAMAGED,
        )
    try:
        return TypeAdapter(Progress).validate_json(json.dumps(state))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"{folder}: damaged ({field}: {first['msg']}).", EXIT_DAMAGED) from None


def save_weights(run: RunDir, model: keras.Model, step: int, metrics: dict[str, Any]) -> None:
    """Writes `checkpoints/weights-XXXXXXXX`, the weights that were just evaluated.

    Raises:
        Diverged: a value is not finite; nothing is written.
        UserError: it cannot be written (exit code 4).
    """
    values = read_values(by_name(model.weights, "model"))
    _require_finite(run, values, step)
    write_tensors(run.weights(step), values, {"step": step, "metrics": metrics})


def recover(run: RunDir, train_step: TrainStep) -> Progress:
    """Restores the newest checkpoint and halves the learning rate for the rest of the training.

    Raises:
        UserError: it cannot be read or written (exit code 4).
    """
    progress = restore(run, train_step)
    if progress is None:
        raise ValueError(f"{run.checkpoints} holds no checkpoint.")
    progress.recoveries += 1
    progress.rate_factor /= 2
    save(run, train_step, progress)
    return progress


def keep_weights(run: RunDir, kept: Collection[int]) -> None:
    """Removes the weights of all evaluations except those of the steps `kept` and the newest."""
    for step in run.evaluated_steps()[:-1]:
        if step not in kept:
            shutil.rmtree(run.weights(step), ignore_errors=True)


def average_checkpoints(run: RunDir, model: keras.Model, steps: Sequence[int]) -> str:
    """Assigns the mean of the weights of several evaluations to `model`.

    Args:
        run: the run folder.
        model: receives the weights.
        steps: steps of the evaluations, one or more.

    Returns:
        A human-readable description, such as "average of steps 100, 120".
    """
    total: dict[str, Any] = {}
    for step in steps:
        values, _ = read_tensors(run.weights(step), size_limit(model.weights))
        for name, value in values.items():
            total[name] = total[name] + value.astype("float64") if name in total else value.astype("float64")
    mean = {name: (value / len(steps)).astype(values[name].dtype) for name, value in total.items()}
    assign(by_name(model.weights, "model"), mean, run.weights(steps[-1]))
    return f"average of steps {', '.join(map(str, steps))}" if len(steps) > 1 else f"step {steps[0]}"
