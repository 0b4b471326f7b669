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
from attnzoo.config import ResolvedConfig, locations
from attnzoo.data import examples
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import read_json
from attnzoo.records.text_files import join_names
from attnzoo.runs.folder import RunDir
from attnzoo.tasks.task import Task

CODE, DATA, PATHS = "code", "data", "paths"
"""What `--allow-changed` can name besides config keys; `PATHS`: where data is that is otherwise the same."""
_COMPARED = ("attnzoo", "source", "tensorflow", "keras")


def config_changes(run: RunDir, resolved: ResolvedConfig) -> list[str]:
    """Returns the config keys whose values have changed; none if the run has not started."""
    if not run.config.is_file():
        return []
    run.require_format()
    return resolved.changed_keys(run.read_config())


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


def moved_paths(run: RunDir, resolved: ResolvedConfig, changed: Collection[str]) -> list[str]:
    """Returns those of the changed config keys that say where data is, now and at the start of the run."""
    configs = (resolved.config, run.read_config()) if changed and run.config.is_file() else ()
    return [key for key in changed if configs and all(locations.holds_paths(one, key) for one in configs)]


def refused_changes(changed: Collection[str], moved: Collection[str], allowed: Collection[str]) -> list[str]:
    """Returns the changes that are not allowed: neither by their name nor, for moved paths, as `PATHS`."""
    return [key for key in changed if key not in allowed and not (PATHS in allowed and key in moved)]


def updated_data_info(run: RunDir, splits: DataSplits, task: Task, allowed: Collection[str]) -> DataInfo:
    """Returns the `DataInfo` of a run, updated if the data has changed and that is allowed.

    Raises:
        UserError: the data has other classes or features, or has changed and that is not allowed (exit code
            2).
    """
    info = DataInfo.read(run.info, task.name)
    fingerprint = examples.fingerprint(splits, info.features)
    difference = data_difference(info, splits, task)
    if difference is None and fingerprint == info.fingerprint:
        return info
    if difference is not None:
        raise UserError(f"{run.path}: {difference}; use --restart.")
    if DATA not in allowed:
        raise refusal(run, [DATA], [*allowed, DATA])
    counts = {name: len(split) for name, split in splits.named().items()}
    return dataclasses.replace(info, fingerprint=fingerprint, num_examples=counts)


def data_difference(info: DataInfo, splits: DataSplits, task: Task) -> str | None:
    """Returns how what the data declares differs from what a run has learned, such as other classes."""
    new = sorted(name for name in splits.train.names if name in task.features.keys() - info.features.keys())
    if new:
        return f"it was started without {join_names(new)} in its data"
    differences = (
        info.features[name].difference(feature)
        for name, feature in splits.features.items()
        if name in info.features
    )
    return next((difference for difference in differences if difference is not None), None)


def refusal(
    run: RunDir, refused: Collection[str], allowing: Collection[str], obstacle: str | None = None
) -> UserError:
    """Returns the error of changes that are not allowed.

    Args:
        run: the run folder.
        refused: the changes.
        allowing: what `--allow-changed` has to name for the run to continue.
        obstacle: why the run cannot continue all the same; None if it can.
    """
    others = "undo the change, choose another folder with --run, "
    options = " ".join(f"--allow-changed {key}" for key in dict.fromkeys(allowing))
    if obstacle is None:
        advice = f"{others}start from scratch with --restart, or continue with {options}."
    else:
        advice = f"{others}or start from scratch with --restart; the run cannot continue: {obstacle}."
    return UserError(f"{run.path}: {', '.join(refused)} changed since the run started; {advice}")
