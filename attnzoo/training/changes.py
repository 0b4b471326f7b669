"""Changes of the config, the data and the code since a run was started."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Collection
from pathlib import Path

import keras
import tensorflow as tf

import attnzoo
from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.data import examples
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import read_json
from attnzoo.runs.folder import RunDir

CODE, DATA = "code", "data"
_COMPARED = ("attnzoo", "source", "tensorflow", "keras")


def config_changes(run: RunDir, resolved: ResolvedConfig) -> list[str]:
    """Returns the config keys whose values have changed; none if the run has not started."""
    if not run.config.is_file():
        return []
    run.require_format()
    return resolved.changed_keys(RunConfig.read(run.config))


def code_versions() -> dict[str, str]:
    """Returns the versions that results depend on; `source` is the SHA-256 of this package's source."""
    digest = hashlib.sha256()
    folder = Path(attnzoo.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return {
        "attnzoo": attnzoo.__version__,
        "source": digest.hexdigest(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def code_changes(run: RunDir) -> list[str]:
    """Returns ["code"] if the run was started with other versions, else an empty list."""
    if not run.machine.is_file():
        return []
    old, new = read_json(run.machine), code_versions()
    return [CODE] if any(old.get(name) != new[name] for name in _COMPARED) else []


def updated_data_info(run: RunDir, splits: DataSplits, task: str, allowed: Collection[str]) -> DataInfo:
    """Returns the `DataInfo` of a run, updated if the data has changed and that is allowed.

    Raises:
        UserError: the data has changed and that is not allowed, or it has other classes (exit code 2).
    """
    info = DataInfo.read(run.info, task)
    fingerprint = examples.fingerprint(splits, info.features)
    if fingerprint == info.fingerprint:
        return info
    refuse_changes(run, [DATA], allowed)
    for name, feature in splits.features.items():
        difference = info.features[name].difference(feature) if name in info.features else None
        if difference is not None:
            raise UserError(f"{run.path}: {difference}; use --restart.")
    counts = {name: len(split) for name, split in splits.named().items()}
    return dataclasses.replace(info, fingerprint=fingerprint, num_examples=counts)


def refuse_changes(run: RunDir, changed: Collection[str], allowed: Collection[str]) -> None:
    """Refuses changes that are not allowed.

    Raises:
        UserError: it names each of them (exit code 2).
    """
    refused = [key for key in changed if key not in allowed]
    if refused:
        options = " ".join(f"--allow-changed {key}" for key in refused)
        raise UserError(
            f"{run.path}: {', '.join(refused)} changed since the run started; undo the change, choose "
            f"another folder with --run, start from scratch with --restart, or continue with {options}."
        )
