"""Files that appear whole or not at all, and tensors in them by name. Reading runs no code from a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from attnzoo.errors import EXIT_DAMAGED, UserError

TENSORS = "tensors.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"
MAX_JSON_BYTES = 64 << 20
_TEMPORARY = (".tmp", ".old")


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


def write_text(path: Path, text: str) -> None:
    """Writes a small file so that after a crash it has its old text or its new one.

    Raises:
        UserError: it cannot be written (exit code 4); what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    data = text.encode("utf-8")
    with disk_errors(path, len(data)):
        _write_synced(temporary, data)
        temporary.replace(path)
        _sync_folder(path.parent)


def write_tensors(folder: Path, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON state as a folder that appears under its name only when it is complete.

    Args:
        folder: the final name, in a folder that exists; an older folder of that name is replaced.
        tensors: name -> array.
        state: JSON values.

    Raises:
        UserError: the disk is full or cannot be written to (exit code 4); what was there before is untouched.
    """
    temporary, old = (folder.with_name(f".{folder.name}{suffix}") for suffix in _TEMPORARY)
    contents = {
        TENSORS: safetensors.numpy.save(
            {name: np.asarray(value, order="C") for name, value in tensors.items()}
        ),
        STATE: json.dumps(state, indent=1, sort_keys=True).encode(),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    contents[MANIFEST] = json.dumps(sums, indent=1).encode()
    with disk_errors(folder, sum(map(len, contents.values()))):
        try:
            for left in (temporary, old):
                shutil.rmtree(left, ignore_errors=True)
            temporary.mkdir()
            for name, data in contents.items():
                _write_synced(temporary / name, data)
            _sync_folder(temporary)
            _put_in_place(temporary, folder, old)
            _sync_folder(folder.parent)
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


def remove_leftovers(folder: Path) -> None:
    """Removes what a crash left of files and folders that were being written in `folder`."""
    for path in folder.glob(".*"):
        if path.suffix in _TEMPORARY:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_tensors(folder: Path, limit: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `write_tensors` wrote, after checking every byte.

    Args:
        folder: a folder that `write_tensors` wrote.
        limit: most bytes of the tensors' file; a larger one is refused before it is read.

    Raises:
        UserError: a file is missing or too large, its checksum differs, or it is not what its name says
            (exit code 4).
    """
    manifest = read_json(folder / MANIFEST)
    try:
        limits = {TENSORS: limit, STATE: MAX_JSON_BYTES}
        contents = {name: read_regular(folder / name, most) for name, most in limits.items()}
        for name, data in contents.items():
            if hashlib.sha256(data).hexdigest() != manifest[name]:
                raise UserError(
                    f"{folder / name}: damaged: its checksum differs from {MANIFEST}.", EXIT_DAMAGED
                )
        return safetensors.numpy.load(contents[TENSORS]), _parse_object(contents[STATE])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder}: damaged or incomplete: {' '.join(str(error).split())}.", EXIT_DAMAGED
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object of at most 64 MiB.

    Raises:
        UserError: the file is missing or holds something else (exit code 4).
    """
    try:
        return _parse_object(read_regular(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: {' '.join(str(error).split())}.", EXIT_DAMAGED) from error


def _parse_object(data: bytes) -> dict[str, Any]:
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return values


def size_limit(variables: Iterable) -> int:
    """Returns the most bytes that a file of these variables can have, their names included."""
    return sum(bytes_of(variable) + 1024 for variable in variables) + 2**20


def bytes_of(variable) -> int:
    """Returns the bytes of a variable's value."""
    return int(np.prod(variable.shape, dtype=np.int64)) * np.dtype(variable.dtype).itemsize


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


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def by_name(variables: Iterable, prefix: str) -> dict[str, Any]:
    """Returns `prefix/path` -> Keras variable.

    Raises:
        ValueError: two variables share a path.
    """
    named: dict[str, Any] = {}
    for variable in variables:
        name = f"{prefix}/{variable.path}"
        if name in named:
            raise ValueError(f"Two variables are called '{name}'; layers need names of their own.")
        named[name] = variable
    return named


def values_of(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the values of variables by their names."""
    return {name: np.asarray(variable.numpy()) for name, variable in variables.items()}


def assign(variables: Mapping[str, Any], values: Mapping[str, np.ndarray], origin: Path) -> None:
    """Gives variables the values of their names: all of them or none.

    Raises:
        UserError: a value is missing, left over or of another shape; it is named (exit code 4).
    """
    problems = [f"missing '{name}'" for name in sorted(variables.keys() - values.keys())]
    problems += [f"unexpected '{name}'" for name in sorted(values.keys() - variables.keys())]
    problems += [
        f"'{name}' has shape {values[name].shape}, expected {tuple(variables[name].shape)}"
        for name in sorted(variables.keys() & values.keys())
        if tuple(values[name].shape) != tuple(variables[name].shape)
    ]
    problems += [
        f"'{name}' is of {values[name].dtype}, expected {variables[name].dtype}"
        for name in sorted(variables.keys() & values.keys())
        if values[name].dtype.name != variables[name].dtype
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise UserError(f"{origin}: does not fit the model: {shown}.", EXIT_DAMAGED)
    for name, variable in variables.items():
        variable.assign(values[name])
