"""Names inside a run folder, its lock, and what a run is made of: its data, its model, its weights.

A run folder holds:
    config.yaml     the resolved config
    info.json       what was learned about the data
    run.json        versions and machine
    checkpoints/    step-XXXXXXXX (to continue from), weights-XXXXXXXX (as evaluated), final
    logs/           TensorBoard
    metrics.jsonl   the same numbers, a JSON object a line
    result.json     the metrics of the finished run
    export/         SavedModels
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.data import examples as data_examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.data.text_files import listed
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.info import DataInfo, DataSplits, Split
from attnzoo.startup import memory_bytes
from attnzoo.tensors import assign, by_name, disk_errors, mebibytes, read_tensors, size_limit

MANY = 1000
"""From so many examples on, one pass over them is worth the seconds that XLA compiles."""


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Does what `disk_errors` does, also for what TensorFlow writes."""
    with disk_errors(path):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message.splitlines()[0]) from error


class RunDir:
    """The paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.info = path / "info.json"
        self.machine = path / "run.json"
        self.checkpoints = path / "checkpoints"
        self.logs = path / "logs"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.export = path / "export"

    @property
    def final(self) -> Path:
        """Weights of the finished run."""
        return self.checkpoints / "final"

    def step(self, step: int) -> Path:
        """Everything needed to continue after optimizer step `step`."""
        return self.checkpoints / f"step-{step:08d}"

    def weights(self, step: int) -> Path:
        """Weights as they were evaluated at optimizer step `step`."""
        return self.checkpoints / f"weights-{step:08d}"

    def steps(self) -> list[int]:
        """Steps of the checkpoints to continue from, newest last."""
        return _numbers(self.checkpoints, "step-")

    def evaluated_steps(self) -> list[int]:
        """Steps whose evaluated weights are kept, newest last."""
        return _numbers(self.checkpoints, "weights-")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for one writer; the lock of a process that died is free.

        Raises:
            UserError: another process trains in this folder.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.refuse_links()
        with disk_errors(self.path):
            file = (self.path / ".lock").open("a+")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise UserError(
                    f"{self.path}: process {file.read().strip() or '?'} is training here; "
                    "wait for it, stop it, or choose another folder with --run."
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()} on {platform.node()}")
            file.flush()
            yield

    def refuse_links(self) -> None:
        """Refuses links in the run: what is read and written must be in its folder.

        Raises:
            UserError: naming the first (exit code 4).
        """
        for folder, folders, files in os.walk(self.path):
            if Path(folder) == self.path and self.export.name in folders:
                folders.remove(self.export.name)  # `export` replaces it as a whole.
            for name in (*folders, *files):
                path = Path(folder, name)
                if path.is_symlink():
                    raise UserError(
                        f"{path}: a link to {os.readlink(path)}; put the file itself there. The folder of a "
                        "run may be a link, what is in it may not.",
                        EXIT_DAMAGED,
                    )

    def clear(self) -> None:
        """Removes what a run wrote, and nothing else; a folder without a run is left as it is."""
        if not self.config.is_file():
            return
        for path in (self.config, self.info, self.machine, self.metrics, self.result):
            path.unlink(missing_ok=True)
        for path in (self.checkpoints, self.logs, self.export):
            shutil.rmtree(path, ignore_errors=True)


def _numbers(folder: Path, prefix: str) -> list[int]:
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    digits = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted(int(text) for text in digits if text.isdigit())


def load_splits(config: RunConfig) -> DataSplits:
    """Loads the raw examples that a config names, with a validation split."""
    task = catalog.load("models", config.model.name).TASK
    splits = catalog.load("datasets", config.data.name).load(config.data, task, config.seed)
    return data_examples.carve_validation(splits, config.data.validation_fraction, config.seed)


def split_of(splits: DataSplits, name: str, folder: Path) -> Split:
    """Returns a split by its name.

    Raises:
        UserError: the data of the run in `folder` has no such split.
    """
    named = splits.named()
    if name not in named:
        raise UserError(f"{folder}: the data has no split '{name}'; it has {', '.join(named)}.")
    return named[name]


def build_model(
    config: RunConfig, info: DataInfo, strategy: tf.distribute.Strategy | None = None
) -> keras.Model:
    """Builds the model of a config with fresh weights that depend on the seed alone.

    Variable paths are the same in every process: they name the tensors on disk.

    Raises:
        UserError: options that do not go together, such as units that the heads do not divide; weights that
            do not fit into the memory of this machine, before they take any.
    """
    keras.backend.clear_session()
    keras.config.set_dtype_policy(config.train.precision)
    keras.utils.set_random_seed(config.seed)
    try:
        with (strategy or tf.distribute.get_strategy()).scope(), _no_more_weights_than_memory():
            return catalog.load("models", config.model.name).build(config.model, info)
    except ValueError as error:
        raise UserError(f"model {config.model.name}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _no_more_weights_than_memory() -> Iterator[None]:
    memory = memory_bytes()
    total = 0

    def create(make: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        nonlocal total
        value = options["initial_value"]
        if callable(value):
            with tf.Graph().as_default():  # Here a value has a shape and takes no memory.
                value = value()
        total += value.shape.num_elements() * value.dtype.size
        if total > memory:
            raise ValueError(
                f"its weights take more than the {mebibytes(memory)} of this machine; make it smaller."
            )
        return make(**options)

    with tf.variable_creator_scope(create):
        yield


def evaluation_sizes(config: RunConfig) -> BatchSizes:
    """Returns the batch sizes of evaluations."""
    train, size = config.train, config.eval.batch_size
    return BatchSizes(size or train.batch_size, None if size else train.batch_tokens, train.replicas)


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run as `eval` and `export` see it.

    Attributes:
        run: its folder.
        config: the config that it was trained with.
        info: what it learned about its data.
        model: with the weights of the finished run, or of the newest evaluation of an unfinished one.
        origin: the folder that the weights came from.
        temperature: what the logits of a finished classifier are divided by to be calibrated, else None.
    """

    run: RunDir
    config: RunConfig
    info: DataInfo
    model: keras.Model
    origin: Path
    temperature: float | None = None

    @property
    def answering(self) -> keras.Model:
        """The model that people are given answers of: with `eval.calibrate` its logits are calibrated.

        Raises:
            UserError: `eval.calibrate` and no temperature (exit code 2).
        """
        if not self.config.eval.calibrate:
            return self.model
        if self.temperature is None:
            raise UserError(
                f"{self.run.path}: eval.calibrate: there is no temperature: it is fitted at the end of a "
                "training, for at most 1,000 classes; finish the run, or set eval.calibrate to false."
            )
        scale = keras.layers.Rescaling(1.0 / self.temperature, dtype="float32", name="calibration")
        return keras.Model(self.model.input, scale(self.model.output), name=self.model.name)


def load_trained(path: Path) -> TrainedRun:
    """Loads a run from its folder alone.

    Raises:
        UserError: there is no run, it has no weights yet, or they are damaged.
    """
    run = RunDir(path)
    if not run.config.is_file():
        raise UserError(
            f"{path}: not a run folder (no config.yaml in it); name one that `attnzoo train` made."
        )
    run.refuse_links()
    config = RunConfig.read(run.config)
    info = DataInfo.read(run.info, catalog.load("models", config.model.name).TASK)
    evaluated = run.evaluated_steps()
    origin = run.final if run.final.is_dir() else run.weights(evaluated[-1]) if evaluated else None
    if origin is None:
        raise UserError(f"{path}: no weights yet: training has not reached its first evaluation.")
    model = build_model(config, info)
    values, state = read_tensors(origin, size_limit(model.weights))
    assign(by_name(model.weights, "model"), values, origin)
    return TrainedRun(run, config, info, model, origin, _temperature(state, origin))


def _temperature(state: Mapping[str, Any], origin: Path) -> float | None:
    """Returns the temperature that was kept with weights; older runs and other tasks have none."""
    value = state.get("temperature")
    if value is not None and not (isinstance(value, float) and 0.0 < value < math.inf):
        raise UserError(f"{origin}: damaged (temperature: expected a number above 0).", EXIT_DAMAGED)
    return value


def chosen_split(trained: TrainedRun, name: str | None = None) -> tuple[str, Split]:
    """Returns the name of a split of a run's data and the split; without a name test, else validation.

    Raises:
        UserError: the data has no such split, or other classes than in training.
    """
    splits = load_splits(trained.config)
    name = name or ("test" if splits.test is not None else "validation")
    chosen = split_of(splits, name, trained.run.path)
    if splits.labels != trained.info.labels:
        raise UserError(
            f"{trained.run.path}: the data has other classes ({listed(splits.labels)}) than in training "
            f"({listed(trained.info.labels)}); take the data back or train again."
        )
    return name, chosen
