"""The run folder: its files and its lock.

A run folder contains:
    config.yaml     the resolved config
    info.json       what was learned about the data
    run.json        versions and machine
    examples/       some examples of validation, see `kept_examples`
    checkpoints/    step-XXXXXXXX (to continue from), weights-XXXXXXXX (as evaluated), final
    logs/           TensorBoard logs
    metrics.jsonl   the same numbers as JSON Lines
    result.json     the metrics of the finished run
    export/         SavedModels

TensorFlow is imported on first use.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from etils import epy

from attnzoo.config import RunConfig, locations
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.features.info import require_run_format
from attnzoo.files import disk_errors, exclusive_lock, is_leftover, read_json

with epy.lazy_imports():
    import tensorflow as tf

_LOCK = ".lock"
_FILES = (
    *("config.yaml", "info.json", "run.json", "metrics.jsonl", "result.json"),
    *(
        f"{folder}/{file}"
        for folder in ("examples", "checkpoints/final", "checkpoints/step-*", "checkpoints/weights-*")
        for file in ("tensors.safetensors", "state.json", "manifest.json")
    ),
    *("logs/*/events.out.tfevents.*", "logs/*/plugins/profile/*/*"),
)
"""Patterns of the files that a run writes; an export is a folder of its own."""


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Like `disk_errors`, also for files that TensorFlow writes."""
    with disk_errors(path):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message.splitlines()[0]) from error


class RunDir:
    """The paths in a run folder.

    Examples:
        >>> RunDir(Path("runs/digits")).step(120).as_posix()
        'runs/digits/checkpoints/step-00000120'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.info = path / "info.json"
        self.machine = path / "run.json"
        self.examples = path / "examples"
        self.checkpoints = path / "checkpoints"
        self.logs = path / "logs"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.export = path / "export"

    @property
    def final(self) -> Path:
        """Folder of the weights of the finished run."""
        return self.checkpoints / "final"

    def step(self, step: int) -> Path:
        """Returns the folder of the checkpoint after optimizer step `step`."""
        return self.checkpoints / f"step-{step:08d}"

    def weights(self, step: int) -> Path:
        """Returns the folder of the weights that were evaluated at optimizer step `step`."""
        return self.checkpoints / f"weights-{step:08d}"

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints, newest last."""
        return _numbers(self.checkpoints, "step-")

    def evaluated_steps(self) -> list[int]:
        """Returns the steps whose evaluated weights are kept, newest last."""
        return _numbers(self.checkpoints, "weights-")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the run for one writer; the lock of a process that died is released.

        Raises:
            UserError: another process trains in this folder.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.refuse_links()

        def message(holder: str) -> str:
            return (
                f"{self.path}: process {holder} is training here; wait for it, stop it, or choose another "
                "folder with --run."
            )

        with exclusive_lock(self.path / _LOCK, message):
            yield

    def refuse_links(self) -> None:
        """Refuses symbolic links in the run: all its files must be inside its folder.

        Raises:
            UserError: there is one; it is named (exit code 4).
        """
        for folder, folders, files in os.walk(self.path):
            if Path(folder) == self.path and self.export.name in folders:
                folders.remove(self.export.name)  # `export` replaces it as a whole.
            for name in (*folders, *files):
                path = Path(folder, name)
                if path.is_symlink():
                    raise UserError(
                        f"{path}: a link to {os.readlink(path)}; replace it by the file itself. A run folder "
                        "may be a link, but its contents may not.",
                        EXIT_DAMAGED,
                    )

    def require_format(self) -> None:
        """Refuses a run of another format version; damaged files are reported when they are read.

        Raises:
            UserError: it says what to do (exit code 2).
        """
        require_run_format(self.path)

    def read_config(self) -> RunConfig:
        """Returns the config of the run, with the paths of its data as they are from here.

        Raises:
            UserError: it is missing.
            ConfigErrors: all errors in it.
        """
        return locations.in_run(RunConfig.read(self.config), self.path)

    def refuse_others(self) -> None:
        """Refuses a folder that is neither empty nor a run, which is probably a mistake.

        Raises:
            UserError: it says what to do (exit code 2).
        """
        if not self.path.is_dir():
            return
        is_empty = all(path.name == _LOCK or is_leftover(path) for path in self.path.iterdir())
        if not (is_empty or self.is_run()):
            raise UserError(
                f"{self.path}: not empty, and not a run folder of attnzoo; choose another folder with --run."
            )

    def files(self) -> Iterator[Path]:
        """Yields the files that the run wrote, without those of its export."""
        return (path for pattern in _FILES for path in self.path.glob(pattern))

    def is_run(self) -> bool:
        """Whether the folder is that of a run, perhaps one that has just started."""
        return _holds(self.machine, "attnzoo") or _holds(self.info, "format")

    def clear(self) -> None:
        """Removes the files that the run wrote, and no others; folders are removed when they are empty.

        Raises:
            UserError: one cannot be removed (exit code 4).
        """
        with disk_errors(self.path):
            for path in self.files():
                path.unlink()
            if (self.export / "export.json").is_file():
                shutil.rmtree(self.export)
            for folder in (self.examples, self.checkpoints, self.logs):
                for path in (*sorted(folder.rglob("*"), reverse=True), folder):
                    if path.is_dir() and not any(path.iterdir()):
                        path.rmdir()


def is_file_of_run(path: Path) -> bool:
    """Whether a path is that of a file that a run has written in its folder."""
    path = path.resolve()
    return path.is_file() and any(
        path.match(pattern) and RunDir(path.parents[pattern.count("/")]).is_run() for pattern in _FILES
    )


def _holds(path: Path, key: str) -> bool:
    """Whether a file is a JSON object with this key."""
    try:
        return key in read_json(path)
    except UserError:
        return False


def _numbers(folder: Path, prefix: str) -> list[int]:
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    digits = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted(int(text) for text in digits if text.isdigit())
