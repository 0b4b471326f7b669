"""Atomic writes of files and folders, lock files, and reading with a limit on the size."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from attnzoo.errors import EXIT_DAMAGED, UserError

MAX_JSON_BYTES = 64 << 20
_TEMPORARY = (".tmp", ".old")
_LOCK_RETRY_SECONDS = 1.0
_unfinished: set[Path] = set()
"""Temporary files of `replaced_file` that are being written."""


@contextlib.contextmanager
def disk_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Converts an `OSError` while writing to a one-line error.

    Args:
        path: the file or folder that is written.
        size: its size in bytes, if known.

    Raises:
        UserError: the disk is full, read-only, broken or gone (exit code 4).
    """
    try:
        yield
    except OSError as error:
        needed = f" ({mebibytes(size)} needed)" if size is not None else ""
        raise UserError(
            f"{path}: cannot be written{needed}: {error.strerror or error}; "
            "fix this, then run the same command again.",
            EXIT_DAMAGED,
        ) from error


def mebibytes(size: float) -> str:
    """Formats a number of bytes.

    Examples:
        >>> mebibytes(3 << 19)
        '1.5 MiB'
    """
    return f"{size / 2**20:,.1f} MiB"


@contextlib.contextmanager
def exclusive_lock(path: Path, message: Callable[[str], str], keep_file: bool = True) -> Iterator[None]:
    """Holds a lock file for one process; the lock of a process that died is released.

    Args:
        path: the lock file.
        message: from the process that holds the lock to an error message.
        keep_file: whether the file remains afterwards.

    Raises:
        UserError: another process holds the lock (2), or the file cannot be written (4).
    """
    with _acquire(path, message) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            if not keep_file:
                path.unlink(missing_ok=True)


def _acquire(path: Path, message: Callable[[str], str]) -> TextIO:
    """Returns the locked file; tries again if its holder has removed it meanwhile.

    A killed process holds its lock until the system has freed its memory, so this waits for a moment.
    """
    end = time.monotonic() + _LOCK_RETRY_SECONDS
    while True:
        with disk_errors(path):
            file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with file:
                if time.monotonic() < end:
                    time.sleep(0.05)
                    continue
                file.seek(0)
                raise UserError(message(file.read().strip() or "?")) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically: after a crash it has either its old or its new text.

    Raises:
        UserError: it cannot be written (exit code 4); the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    data = text.encode("utf-8")
    with disk_errors(path, len(data)):
        write_synced(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[TextIO]:
    """Yields an empty text file to fill, which is renamed to `path` if the block ends without an error.

    The folders above it are created. A file of that name is kept until then.

    Args:
        path: the final name.

    Raises:
        UserError: it cannot be written (exit code 4); the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("w", encoding="utf-8", newline="")
    try:
        _unfinished.add(temporary.absolute())
        with file:
            yield file
            with disk_errors(path):
                file.flush()
                os.fsync(file.fileno())
        with disk_errors(path):
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary.absolute())


def remove_unfinished() -> None:
    """Removes the files that `replaced_file` has not finished, of a process that ends at once."""
    for temporary in [*_unfinished]:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which is renamed to `folder` if the block ends without an error.

    An existing folder of that name is kept until then, and is restored if the renaming fails. Leftovers of
    killed processes are removed.

    Args:
        folder: the final name, in an existing folder.

    Raises:
        OSError: it cannot be written; an existing folder is untouched.
    """
    temporary, old = (folder.with_name(f".{folder.name}{suffix}") for suffix in _TEMPORARY)
    try:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        _swap_in(temporary, folder, old)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(new: Path, folder: Path, old: Path) -> None:
    replaces = folder.exists()
    if replaces:
        folder.replace(old)
    try:
        new.replace(folder)
    except OSError:
        if replaces:
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def is_leftover(path: Path) -> bool:
    """Whether a path has the name of a temporary file or folder that a crash has left."""
    return path.name.startswith(".") and path.suffix in _TEMPORARY


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files and folders that a crash has left in `folder`."""
    for path in folder.glob(".*"):
        if is_leftover(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object of at most 64 MiB.

    Raises:
        UserError: the file is missing or has other content (exit code 4).
    """
    try:
        return parse_object(read_regular(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: {' '.join(str(error).split())}.", EXIT_DAMAGED) from error


def parse_object(data: bytes) -> dict[str, Any]:
    """Returns the JSON object in `data`.

    Raises:
        ValueError: it is not a JSON object.
    """
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return values


def read_regular(path: Path, limit: int) -> bytes:
    """Reads a regular file of at most `limit` bytes, after checking its type and size.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or it is a folder, a pipe or a device.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a file")
    if status.st_size > limit:
        raise ValueError(f"{path.name} has {mebibytes(status.st_size)}, more than {mebibytes(limit)}")
    return path.read_bytes()


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and flushes it to the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flushes the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
