"""Files and folders that appear whole or not at all, and reading that trusts no size."""

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
_DYING_SECONDS = 1.0


@contextlib.contextmanager
def disk_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Turns what the disk refuses into one line.

    Args:
        path: what is written.
        size: its bytes, where they are known.

    Raises:
        UserError: the disk is full, read-only, broken or gone (exit code 4).
    """
    try:
        yield
    except OSError as error:
        needed = f" ({mebibytes(size)} needed)" if size is not None else ""
        raise UserError(
            f"{path}: cannot be written{needed}: {error.strerror or error}; "
            "mend that, then run the same command again.",
            EXIT_DAMAGED,
        ) from error


def mebibytes(size: float) -> str:
    """Returns bytes as "1.5 MiB"."""
    return f"{size / 2**20:,.1f} MiB"


@contextlib.contextmanager
def exclusive_lock(path: Path, refusal: Callable[[str], str], stays: bool = True) -> Iterator[None]:
    """Holds a lock file for one process; the lock of a process that died is free.

    Args:
        path: the lock file.
        refusal: says what is wrong where another process holds it; gets who that is.
        stays: whether the file stays at the end.

    Raises:
        UserError: another process holds it (2), or the file cannot be written (4).
    """
    with _locked(path, refusal) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            if not stays:
                path.unlink(missing_ok=True)


def _locked(path: Path, refusal: Callable[[str], str]) -> TextIO:
    """Returns the open lock file, held; one that its holder has removed meanwhile is none.

    A holder that was killed has its lock until the system has taken back its memory: a moment is waited.
    """
    end = time.monotonic() + _DYING_SECONDS
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
                raise UserError(refusal(file.read().strip() or "?")) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def write_text(path: Path, text: str) -> None:
    """Writes a small file so that after a crash it has its old text or its new one.

    Raises:
        UserError: it cannot be written (exit code 4); what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    data = text.encode("utf-8")
    with disk_errors(path, len(data)):
        write_synced(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to fill; it takes the name `folder` once the block has ended without an error.

    A folder that had the name before stays until then, and has it back where the new one cannot take it. What
    a process that was killed has left is removed.

    Args:
        folder: the final name, in a folder that exists.

    Raises:
        OSError: the disk does not take it; what was there before is untouched.
    """
    temporary, old = (folder.with_name(f".{folder.name}{suffix}") for suffix in _TEMPORARY)
    try:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        _put_in_place(temporary, folder, old)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(new: Path, folder: Path, old: Path) -> None:
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
    """Whether it is named like what a crash leaves of a file or folder that was being written."""
    return path.name.startswith(".") and path.suffix in _TEMPORARY


def remove_leftovers(folder: Path) -> None:
    """Removes what a crash left of files and folders that were being written in `folder`."""
    for path in folder.glob(".*"):
        if is_leftover(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object of at most 64 MiB.

    Raises:
        UserError: the file is missing or holds something else (exit code 4).
    """
    try:
        return parse_object(read_regular(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: {' '.join(str(error).split())}.", EXIT_DAMAGED) from error


def parse_object(data: bytes) -> dict[str, Any]:
    """Returns the JSON object in `data`.

    Raises:
        ValueError: it is none.
    """
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return values


def read_regular(path: Path, limit: int) -> bytes:
    """Reads a file of at most `limit` bytes; nothing is read of what is larger or no file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or a folder, a pipe or a device.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a file")
    if status.st_size > limit:
        raise ValueError(f"{path.name} has {mebibytes(status.st_size)}, more than {mebibytes(limit)}")
    return path.read_bytes()


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
