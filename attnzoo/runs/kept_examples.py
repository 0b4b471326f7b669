"""The validation examples that a run keeps, so that its folder alone can be exported and looked at."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from attnzoo.data.splits import Split
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import read_json
from attnzoo.runs.folder import RunDir
from attnzoo.variables import STATE, read_tensors, write_tensors

MAX_EXAMPLES = 512
MAX_BYTES = 64 << 20
"""Size of all that is kept."""
_MAX_FILE_BYTES = MAX_BYTES + (8 << 20)
"""Size of the file that is read: names, and where each example ends, take some space too."""


def keep(run: RunDir, validation: Split, info: DataInfo) -> None:
    """Writes some examples of validation into a run, unless those of the same data are there.

    They are up to 512 examples, at most 64 MiB, drawn at random with a fixed seed, in the order of
    validation. Texts, labels and the bytes of image files are kept, not the names of files.

    Args:
        run: the run folder.
        validation: raw examples.
        info: what is known about the data.

    Raises:
        UserError: the disk is full or cannot be written (exit code 4).
    """
    if _fingerprint(run) == info.fingerprint:
        return
    names = [name for name in info.features if name in validation.names]
    chosen = _choose(validation, info, names)
    if not len(chosen):
        shutil.rmtree(run.examples, ignore_errors=True)  # those of other data
        return
    tensors = {
        f"{name}/{part}": array
        for name, column in validation.read(chosen).items()
        if name in names
        for part, array in info.features[name].pack(column).items()
    }
    write_tensors(run.examples, tensors, {"fingerprint": info.fingerprint})


def _fingerprint(run: RunDir) -> Any:
    """Returns the fingerprint of the data that the kept examples are of; None if there are none."""
    try:
        return read_json(run.examples / STATE).get("fingerprint")
    except UserError:
        return None


def _choose(split: Split, info: DataInfo, names: list[str]) -> np.ndarray:
    """Returns the indices of the examples to keep, <int64>[n], ascending; those at the start must fit."""
    order = np.random.default_rng(0).permutation(len(split))[:MAX_EXAMPLES]
    chosen: list[int] = []
    total = 0
    for index in order:
        values = split.read(np.array([index]))
        packed = [info.features[name].pack(values[name]) for name in names]
        size = sum(array.nbytes for arrays in packed for array in arrays.values())
        if total + size > MAX_BYTES:
            if chosen:
                break
            continue
        chosen.append(int(index))
        total += size
    return np.sort(np.array(chosen, np.int64))


def read(run: RunDir, info: DataInfo) -> Split | None:
    """Returns the examples that a run keeps; None if it keeps none.

    The content is untrusted: sizes, types and ranges are checked.

    Raises:
        UserError: they are damaged (exit code 4).
    """
    if not run.examples.is_dir():
        return None
    tensors, _ = read_tensors(run.examples, _MAX_FILE_BYTES)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, array in tensors.items():
        name, _, part = key.partition("/")
        arrays.setdefault(name, {})[part] = array
    try:
        columns = {
            name: feature.unpack(arrays[name]) for name, feature in info.features.items() if name in arrays
        }
        missing = [name for name, one in info.features.items() if not (one.is_optional or name in columns)]
        if missing:
            raise ValueError(f"no {missing[0]}")
        return Split(columns, f"examples of validation that {run.path} keeps")
    except (ValueError, TypeError, RecursionError, UserError) as error:
        what = " ".join(str(error).split())[:200]
        raise UserError(f"{run.examples}: damaged ({what}).", EXIT_DAMAGED) from None
