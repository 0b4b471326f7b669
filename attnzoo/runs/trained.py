"""Loads a trained run, for all commands except `train`."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.data.splits import Split
from attnzoo.errors import EXIT_DAMAGED, DataNote, DataWarning, UserError
from attnzoo.features.info import DataInfo
from attnzoo.runs import kept_examples
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, load_task, select_split
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Calibration
from attnzoo.variables import assign, by_name, read_tensors, size_limit

MIN_EXAMPLES_FOR_XLA = 1000
"""With fewer examples, one pass over them takes less time than compiling with XLA."""


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run with its model.

    Attributes:
        run: the run folder.
        config: the config that it was trained with.
        task: the task of its model.
        info: what was learned about its data, with what `eval` decides about answers.
        model: has the weights of the finished run, or of the newest evaluation of an unfinished one.
        origin: the folder that the weights were loaded from.
        weights: human-readable description: "step 120", "average of steps 100, 120".
        calibration: calibration of a finished run; empty if it has none.
    """

    run: RunDir
    config: RunConfig
    task: Task
    info: DataInfo
    model: keras.Model
    origin: Path
    weights: str
    calibration: Calibration

    @property
    def prediction_model(self) -> keras.Model:
        """The model for predictions and exports, calibrated with `eval.calibrate`.

        Raises:
            UserError: the config asks for a calibration that was not fitted (exit code 2).
        """
        try:
            return self.task.prediction_model(self.model, self.config.eval, self.calibration)
        except ValueError as error:
            raise UserError(f"{self.run.path}: {error}") from None

    def is_worth_compiling(self, num_examples: int) -> bool:
        """Whether XLA can compile the model, and saves time in one pass over so many examples."""
        return self.config.model.compiles and num_examples >= MIN_EXAMPLES_FOR_XLA


def load_trained(path: Path) -> TrainedRun:
    """Loads a run from its folder alone, without its data; warns if it is unfinished.

    Raises:
        UserError: there is no run, it has another format version or no weights yet, or it is damaged.
    """
    run = RunDir(path)
    if not run.config.is_file():
        raise UserError(
            f"{path}: not a run folder (it has no config.yaml); expected one created by `attnzoo train`."
        )
    run.refuse_links()
    run.require_format()
    config = run.read_config()
    task = load_task(config)
    info = DataInfo.read(run.info, task.name)
    evaluated = run.evaluated_steps()
    origin = run.final if run.final.is_dir() else run.weights(evaluated[-1]) if evaluated else None
    if origin is None:
        raise UserError(f"{path}: no weights yet: training has not reached its first evaluation.")
    model = build_model(config, info)
    values, state = read_tensors(origin, size_limit(model.weights))
    assign(by_name(model.weights, "model"), values, origin)
    try:
        calibration = task.read_calibration(state)
    except ValueError as error:
        raise UserError(f"{origin}: damaged ({error}).", EXIT_DAMAGED) from None
    info = task.answering_info(info, config.eval, calibration)
    weights = str(state.get("weights") or f"step {state.get('step')}")
    if origin != run.final:
        warnings.warn(
            f"{path}: unfinished run; using the weights of {weights}. `attnzoo train` continues it.",
            DataWarning,
            stacklevel=2,
        )
    return TrainedRun(run, config, task, info, model, origin, weights, calibration)


def load_split(trained: TrainedRun, name: str | None = None) -> tuple[str, Split]:
    """Loads a split of a run's data: returns its name and the split.

    Args:
        trained: the run.
        name: name of the split; None for test, or validation if there is no test.

    Raises:
        UserError: the data is not there, has no such split, or has other classes than in training.
    """
    missing = missing_file(trained.config)
    if missing is not None:
        raise UserError(
            f"{trained.run.path}: its data is not there ({missing} not found); put it back, or evaluate "
            f"other data with `attnzoo eval {trained.run.path} --data FILE`."
        )
    splits = load_splits(trained.config)
    name = name or ("test" if splits.test is not None else "validation")
    chosen = select_split(splits, name, trained.run.path)
    for feature_name, feature in splits.features.items():
        learned = trained.info.features.get(feature_name)
        problem = None if learned is None else learned.difference(feature)
        if problem is not None:
            raise UserError(f"{trained.run.path}: {problem}; restore the data or train again.")
    return name, chosen


def missing_file(config: RunConfig) -> str | None:
    """Returns the first file or folder of the data of a config that is not there, if any."""
    return next((path for _, path in config.data.files() if not os.path.exists(path)), None)


def load_examples(trained: TrainedRun, name: str | None = None) -> tuple[str, Split]:
    """Loads a split of a run's data to look at or, if that cannot be read, the examples that it keeps.

    Args:
        trained: the run.
        name: name of the split; None for test, or validation if there is no test.

    Raises:
        UserError: as `load_split`, if the run keeps no examples or they are of another split; the examples
            that it keeps are damaged (exit code 4).
    """
    try:
        return load_split(trained, name)
    except UserError as error:
        kept = kept_examples.read(trained.run, trained.info) if name in (None, "validation") else None
        if kept is None:
            raise
        missing = missing_file(trained.config)
        why = str(error) if missing is None else f"{trained.run.path}: its data is not there"
        warnings.warn(
            f"{why.rstrip('.')}; these are from the {len(kept)} examples of validation that it keeps.",
            DataNote,
            stacklevel=2,
        )
        return "validation", kept


def load_other_split(
    trained: TrainedRun, paths: Sequence[str], name: str | None = None
) -> tuple[str, Split, DataInfo]:
    """Loads other data than that of a run, read as its data was: with the same options and classes.

    Args:
        trained: the run.
        paths: files or folders of the kind that its data is read from.
        name: the split, if they have several; None for test, or validation, or train.

    Returns:
        The name of the split, the split, and what is known about the data, with optional features of it that
        the data of the run does not have.

    Raises:
        UserError: the data of the run is not read from files, or these cannot be used.
    """
    config, info = trained.config, trained.info
    label = " ".join(f"--data {path}" for path in paths)
    try:
        options = config.data.with_files(paths)
    except ValueError as error:
        raise UserError(f"{label}: {str(error).splitlines()[0]} (data.name: {config.data.name}).") from None
    if options is None:
        raise UserError(
            f"{label}: {trained.run.path} was trained on {config.data.name}, which is not read from files; "
            "leave --data out."
        )
    # Weights concern training alone, and other data need not have any.
    every = {**trained.task.features, **info.features}
    features = {one: feature for one, feature in every.items() if not feature.is_weight}
    splits = catalog.load("datasets", config.data.name).load(options, features, config.seed).named()
    name = name or next(name for name in ("test", "validation", "train") if name in splits)
    if name not in splits:
        raise UserError(f"{label}: no split '{name}' in it; remove --split.")
    split = splits[name]
    known = {
        one: feature
        for one, feature in features.items()
        if one in info.features or (one in split.names and feature.is_optional)
    }
    for one, feature in known.items():
        if one in split.names:
            feature.check(split.column(one), options, split.origin)
    return name, split, dataclasses.replace(info, features=known)
