"""Files that appear whole or not at all, and tensors in them by name. Reading runs no code from a file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from attnzoo.errors import EXIT_DAMAGED, UserError

TENSORS = "tensors.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"


def write_text(path: Path, text: str) -> None:
    """Writes a small file so that after a crash it has its old text or its new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def write_tensors(folder: Path, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON state as a folder that appears under its name only when it is complete.

    Args:
        folder: the final name; an older folder of that name is replaced.
        tensors: name -> array.
        state: JSON values.

    Raises:
        UserError: the disk is full or cannot be written to; what was there before is untouched.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        contents = {
            TENSORS: safetensors.numpy.save(
                {name: np.asarray(value, order="C") for name, value in tensors.items()}
            ),
            STATE: json.dumps(state, indent=1, sort_keys=True).encode(),
        }
        contents[MANIFEST] = json.dumps(
            {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}, indent=1
        ).encode()
        for name, data in contents.items():
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}.", EXIT_DAMAGED) from error


def read_tensors(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `write_tensors` wrote, after checking every byte.

    Raises:
        UserError: a file is missing or its checksum differs (exit code 4).
    """
    contents = {}
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for name in (TENSORS, STATE):
            contents[name] = (folder / name).read_bytes()
            if hashlib.sha256(contents[name]).hexdigest() != manifest[name]:
                raise UserError(
                    f"{folder / name}: damaged: its checksum differs from {MANIFEST}.", EXIT_DAMAGED
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: damaged or incomplete: {error}.", EXIT_DAMAGED) from error
    return safetensors.numpy.load(contents[TENSORS]), json.loads(contents[STATE])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def named_values(variables: list, prefix: str) -> dict[str, np.ndarray]:
    """Returns `prefix/path` -> value of Keras variables.

    Raises:
        ValueError: two variables share a path.
    """
    values: dict[str, np.ndarray] = {}
    for variable in variables:
        name = f"{prefix}/{variable.path}"
        if name in values:
            raise ValueError(f"Two variables are called '{name}'; layers need names of their own.")
        values[name] = np.asarray(variable.numpy())
    return values


def assign_values(variables: list, prefix: str, values: Mapping[str, np.ndarray], origin: Path) -> None:
    """Gives variables the values that `named_values` took from them: all of them or none.

    Raises:
        UserError: a variable is missing, left over or of another shape; it is named (exit code 4).
    """
    wanted = {f"{prefix}/{variable.path}": variable for variable in variables}
    found = {name for name in values if name.startswith(f"{prefix}/")}
    problems = [f"missing '{name}'" for name in sorted(wanted.keys() - found)]
    problems += [f"unexpected '{name}'" for name in sorted(found - wanted.keys())]
    problems += [
        f"'{name}' has shape {values[name].shape}, expected {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & found)
        if tuple(values[name].shape) != tuple(wanted[name].shape)
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise UserError(f"{origin}: does not fit the model: {shown}.", EXIT_DAMAGED)
    for name, variable in wanted.items():
        variable.assign(values[name])
