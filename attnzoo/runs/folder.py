"""A run's folder: what is where in it, and its lock.

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
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.features.info import require_run_format
from attnzoo.files import disk_errors, exclusive_lock, is_leftover, read_json

_LOCK = ".lock"
_WRITTEN = (
    *("config.yaml", "info.json", "run.json", "metrics.jsonl", "result.json"),
    *(
        f"checkpoints/{folder}/{file}"
        for folder in ("final", "step-*", "weights-*")
        for file in ("tensors.safetensors", "state.json", "manifest.json")
    ),
    *("logs/*/events.out.tfevents.*", "logs/*/plugins/profile/*/*"),
)
"""What a run writes, as patterns of files; an export is a folder of its own."""


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

        def refusal(holder: str) -> str:
            return (
                f"{self.path}: process {holder} is training here; wait for it, stop it, or choose another "
                "folder with --run."
            )

        with exclusive_lock(self.path / _LOCK, refusal):
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

    def require_format(self) -> None:
        """Refuses a run of another version, whose config says other things; damage is found by who reads it.

        Raises:
            UserError: saying what to do (exit code 2).
        """
        require_run_format(self.path)

    def refuse_others(self) -> None:
        """Refuses a folder that holds something and is not a run: it is somebody's, or a slip of the pen.

        Raises:
            UserError: saying what to do (exit code 2).
        """
        if not self.path.is_dir():
            return
        is_empty = all(path.name == _LOCK or is_leftover(path) for path in self.path.iterdir())
        if not (is_empty or _holds(self.machine, "attnzoo") or _holds(self.info, "format")):
            raise UserError(
                f"{self.path}: a folder that holds something and is not a run of attnzoo; name a new one "
                "with --run."
            )

    def clear(self) -> None:
        """Removes the files that a run wrote, and no other; folders go when they are empty.

        Raises:
            UserError: one cannot be removed (exit code 4).
        """
        with disk_errors(self.path):
            for path in (path for pattern in _WRITTEN for path in self.path.glob(pattern)):
                path.unlink()
            if (self.export / "export.json").is_file():
                shutil.rmtree(self.export)
            for folder in (self.checkpoints, self.logs):
                for path in (*sorted(folder.rglob("*"), reverse=True), folder):
                    if path.is_dir() and not any(path.iterdir()):
                        path.rmdir()


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
