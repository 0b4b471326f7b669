"""Everything that a run needs to continue as if it had never stopped."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from typing import Any

import keras

from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.run_dir import RunDir
from attnzoo.tensors import assign_values, named_values, read_tensors, write_tensors
from attnzoo.training.step import Stepper

KEPT_STEPS = 2


@dataclasses.dataclass
class Progress:
    """Where a run stands, besides its tensors. Saved as JSON.

    Attributes:
        step: optimizer steps taken.
        epoch: epochs finished.
        batch: batches of the current epoch that are done.
        seconds: training time so far, evaluations and start-up apart.
        best_step: step of the best evaluation, 0 before the first.
        best_value: monitored metric there.
        worse: evaluations since then.
        plateau_factor: product of the falls of the plateau schedule.
        plateau_worse: evaluations since the last fall or the best one.
        window: sums since the last logged line: name -> [numerator, denominator].
        log_sizes: bytes of each log file at this moment; what a crash wrote after them is cut off.
        stopped_early: whether early stopping has ended the training.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_value: float | None = None
    worse: int = 0
    plateau_factor: float = 1.0
    plateau_worse: int = 0
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    log_sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    stopped_early: bool = False


def _groups(stepper: Stepper) -> dict[str, list[keras.Variable]]:
    groups = {
        "model": stepper.model.variables,
        "optimizer": stepper.optimizer.variables,
        "loss_scale": stepper.scale_state,
    }
    if stepper.average is not None:
        groups["average"] = stepper.average.weights
    return groups


def save(run: RunDir, stepper: Stepper, progress: Progress) -> None:
    """Writes `checkpoints/step-XXXXXXXX` and removes all but the newest two.

    Raises:
        UserError: it cannot be written (exit code 4); older checkpoints are untouched.
    """
    tensors = {}
    for prefix, variables in _groups(stepper).items():
        tensors.update(named_values(variables, prefix))
    write_tensors(run.step(progress.step), tensors, dataclasses.asdict(progress))
    for step in run.steps()[:-KEPT_STEPS]:
        shutil.rmtree(run.step(step), ignore_errors=True)


def restore(run: RunDir, stepper: Stepper) -> Progress | None:
    """Restores the newest checkpoint that is whole; a damaged one is passed over with a warning.

    Returns:
        The progress there, or None where there is no checkpoint.

    Raises:
        UserError: every checkpoint is damaged, or one does not fit the model (exit code 4).
    """
    steps = run.steps()
    damaged = None
    for step in reversed(steps):
        folder = run.step(step)
        try:
            tensors, state = read_tensors(folder)
        except UserError as error:
            damaged = error
            warnings.warn(f"{error} Trying the one before.", stacklevel=2)
            continue
        for prefix, variables in _groups(stepper).items():
            assign_values(variables, prefix, tensors, folder)
        return Progress(**_known(state, folder))
    if damaged is not None:
        raise damaged
    return None


def _known(state: dict[str, Any], folder) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(Progress)}
    if set(state) != names:
        raise UserError(
            f"{folder}: written by another version of attnzoo ({sorted(set(state) ^ names)} differ); "
            "finish the run with that version or start again with --restart.",
            EXIT_DAMAGED,
        )
    return state


def save_weights(run: RunDir, model: keras.Model, step: int, metrics: dict[str, Any]) -> None:
    """Writes `checkpoints/weights-XXXXXXXX`: the weights as they were just evaluated."""
    write_tensors(run.weights(step), named_values(model.weights, "model"), {"step": step, "metrics": metrics})


def keep_weights(run: RunDir, best_step: int, last: int) -> None:
    """Removes evaluated weights, all but the best and the `last` newest."""
    kept = {best_step, *run.evaluated_steps()[-last:]}
    for step in run.evaluated_steps():
        if step not in kept:
            shutil.rmtree(run.weights(step), ignore_errors=True)


def choose_final(run: RunDir, model: keras.Model, progress: Progress, choice: str, average: int) -> str:
    """Gives `model` the weights of the finished run.

    Args:
        run: the run folder.
        model: receives the weights.
        progress: tells which evaluation was best.
        choice: "best", "last" or "average" (the mean over the last `average` evaluations).
        average: see above.

    Returns:
        A phrase that says which they are.
    """
    evaluated = run.evaluated_steps()
    if choice == "average":
        chosen = evaluated[-average:]
    else:
        chosen = [progress.best_step if choice == "best" and progress.best_step else evaluated[-1]]
    total: dict[str, Any] = {}
    for step in chosen:
        values, _ = read_tensors(run.weights(step))
        for name, value in values.items():
            total[name] = total[name] + value.astype("float64") if name in total else value.astype("float64")
    mean = {name: value / len(chosen) for name, value in total.items()}
    assign_values(model.weights, "model", mean, run.weights(chosen[-1]))
    return f"average of steps {', '.join(map(str, chosen))}" if len(chosen) > 1 else f"step {chosen[0]}"
