"""A run that has weights, as all commands but `train` see it."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import keras

from attnzoo.config import RunConfig
from attnzoo.data.splits import Split
from attnzoo.errors import EXIT_DAMAGED, DataWarning, UserError
from attnzoo.features.info import DataInfo
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, split_of, task_of
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.task import Fitted, Task
from attnzoo.variables import assign, by_name, read_tensors, size_limit

MIN_EXAMPLES_FOR_XLA = 1000
"""From so many examples on, one pass over them is worth the seconds that XLA compiles."""


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run as `eval` and `export` see it.

    Attributes:
        run: its folder.
        config: the config that it was trained with.
        task: what its model is for.
        info: what it learned about its data.
        model: with the weights of the finished run, or of the newest evaluation of an unfinished one.
        origin: the folder that the weights came from.
        weights: which they are, for people: "step 120", "average of steps 100, 120".
        fitted: what calibrates the answers of a finished run.
    """

    run: RunDir
    config: RunConfig
    task: Task
    info: DataInfo
    model: keras.Model
    origin: Path
    weights: str
    fitted: Fitted

    @property
    def answering(self) -> keras.Model:
        """The model that people are given answers of: with `eval.calibrate` they are calibrated.

        Raises:
            UserError: the config asks for what was not fitted (exit code 2).
        """
        try:
            return self.task.answering_model(self.model, self.config.eval, self.fitted)
        except ValueError as error:
            raise UserError(f"{self.run.path}: {error}") from None


def load_trained(path: Path) -> TrainedRun:
    """Loads a run from its folder alone; of an unfinished one it warns.

    Raises:
        UserError: there is no run, it is of another version, it has no weights yet, or they are damaged.
    """
    run = RunDir(path)
    if not run.config.is_file():
        raise UserError(
            f"{path}: not a run folder (no config.yaml in it); name one that `attnzoo train` made."
        )
    run.refuse_links()
    run.require_format()
    config = RunConfig.read(run.config)
    task = task_of(config)
    info = DataInfo.read(run.info, task.name)
    evaluated = run.evaluated_steps()
    origin = run.final if run.final.is_dir() else run.weights(evaluated[-1]) if evaluated else None
    if origin is None:
        raise UserError(f"{path}: no weights yet: training has not reached its first evaluation.")
    model = build_model(config, info)
    values, state = read_tensors(origin, size_limit(model.weights))
    assign(by_name(model.weights, "model"), values, origin)
    try:
        fitted = task.read_fitted(state)
    except ValueError as error:
        raise UserError(f"{origin}: damaged ({error}).", EXIT_DAMAGED) from None
    weights = str(state.get("weights") or f"step {state.get('step')}")
    if origin != run.final:
        warnings.warn(
            f"{path}: unfinished; these are the weights of {weights}. `attnzoo train` continues it.",
            DataWarning,
            stacklevel=2,
        )
    return TrainedRun(run, config, task, info, model, origin, weights, fitted)


def chosen_split(trained: TrainedRun, name: str | None = None) -> tuple[str, Split]:
    """Returns the name of a split of a run's data and the split; without a name test, else validation.

    Raises:
        UserError: the data has no such split, or other classes than in training.
    """
    splits = load_splits(trained.config)
    name = name or ("test" if splits.test is not None else "validation")
    chosen = split_of(splits, name, trained.run.path)
    for feature_name, feature in splits.features.items():
        learned = trained.info.features.get(feature_name)
        problem = None if learned is None else learned.difference(feature)
        if problem is not None:
            raise UserError(f"{trained.run.path}: {problem}; take the data back or train again.")
    return name, chosen
