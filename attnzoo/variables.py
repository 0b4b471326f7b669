"""Saving and loading tensors by variable name, in folders whose contents are verified by checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.files import (
    MAX_JSON_BYTES,
    disk_errors,
    parse_object,
    read_json,
    read_regular,
    replaced_folder,
    write_synced,
)

TENSORS = "tensors.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"


def write_tensors(folder: Path, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON state atomically as a folder.

    Args:
        folder: the final name, in an existing folder; an older folder of that name is replaced.
        tensors: name -> array.
        state: JSON values.

    Raises:
        UserError: the disk is full or cannot be written (exit code 4); an older folder is untouched.
    """
    contents = {
        TENSORS: safetensors.numpy.save(
            {name: np.asarray(value, order="C") for name, value in tensors.items()}
        ),
        STATE: json.dumps(state, indent=1, sort_keys=True).encode(),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    contents[MANIFEST] = json.dumps(sums, indent=1).encode()
    with disk_errors(folder, sum(map(len, contents.values()))), replaced_folder(folder) as temporary:
        for name, data in contents.items():
            write_synced(temporary / name, data)


def read_tensors(folder: Path, limit: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a folder of `write_tensors`, after verifying the checksums.

    Args:
        folder: a folder written by `write_tensors`.
        limit: maximum size of the tensor file in bytes; a larger one is refused before it is read.

    Raises:
        UserError: a file is missing, too large or invalid, or its checksum differs (exit code 4).
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
        return safetensors.numpy.load(contents[TENSORS]), parse_object(contents[STATE])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder}: damaged or incomplete: {' '.join(str(error).split())}.", EXIT_DAMAGED
        ) from error


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of the tensors in a folder of `write_tensors`, without reading them.

    Raises:
        UserError: the file is missing or invalid (exit code 4).
    """
    try:
        with safetensors.safe_open(folder / TENSORS, "np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder}: damaged or incomplete: {' '.join(str(error).split())}.", EXIT_DAMAGED
        ) from error


def size_limit(variables: Iterable) -> int:
    """Returns the maximum size in bytes of a file of these variables, including their names."""
    return sum(num_bytes(variable) + 1024 for variable in variables) + 2**20


def num_bytes(variable) -> int:
    """Returns the size of a variable's value in bytes."""
    return int(np.prod(variable.shape, dtype=np.int64)) * np.dtype(variable.dtype).itemsize


def by_name(variables: Iterable, prefix: str) -> dict[str, Any]:
    """Returns `prefix/path` -> Keras variable.

    Raises:
        ValueError: two variables share a path.
    """
    named: dict[str, Any] = {}
    for variable in variables:
        name = f"{prefix}/{variable.path}"
        if name in named:
            raise ValueError(f"Two variables are named '{name}'; give their layers different names.")
        named[name] = variable
    return named


def read_values(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the values of variables by their names."""
    return {name: np.asarray(variable.numpy()) for name, variable in variables.items()}


def assign(variables: Mapping[str, Any], values: Mapping[str, np.ndarray], origin: Path) -> None:
    """Assigns values to variables by name: all of them or none.

    Raises:
        UserError: a value is missing or unexpected, or has another shape or dtype (exit code 4).
    """
    problems = [f"missing '{name}'" for name in sorted(variables.keys() - values.keys())]
    problems += [f"unexpected '{name}'" for name in sorted(values.keys() - variables.keys())]
    problems += [
        f"'{name}' has shape {values[name].shape}, expected {tuple(variables[name].shape)}"
        for name in sorted(variables.keys() & values.keys())
        if tuple(values[name].shape) != tuple(variables[name].shape)
    ]
    problems += [
        f"'{name}' has dtype {values[name].dtype}, expected {variables[name].dtype}"
        for name in sorted(variables.keys() & values.keys())
        if values[name].dtype.name != variables[name].dtype
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise UserError(f"{origin}: does not fit the model: {shown}.", EXIT_DAMAGED)
    for name, variable in variables.items():
        variable.assign(values[name])
