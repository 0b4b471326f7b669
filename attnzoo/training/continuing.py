"""Whether a run can continue after a change: the refusal offers no option that would fail later."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from attnzoo.config import ResolvedConfig
from attnzoo.data import examples
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, load_task
from attnzoo.runs.folder import RunDir
from attnzoo.training import changes, checkpoint, distribution, learning_rate_multipliers, optimizers
from attnzoo.training.step import TrainStep

_SHAPING = ("model.", "train.optimizer", "train.ema_decay", "train.precision", "train.learning_rate_mult")
"""Beginnings of the keys that decide which tensors a checkpoint has."""


def require_unchanged(
    run: RunDir, resolved: ResolvedConfig, changed: Collection[str], allowed: Collection[str]
) -> None:
    """Refuses changes that are not allowed, with all that would have to be allowed, if that can work.

    Args:
        run: the run folder.
        resolved: the config.
        changed: its keys that differ from the run, and "code".
        allowed: what may have changed.

    Raises:
        UserError: a change is not allowed (exit code 2).
    """
    moved = changes.moved_paths(run, resolved, changed)
    refused = changes.refused_changes(changed, moved, allowed)
    if not refused:
        return
    needed = [*allowed, *(changes.PATHS if key in moved else key for key in refused)]
    learned = [key for key in changed if key.startswith("data.") and key not in moved]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            info = DataInfo.read(run.info)
            if load_task(resolved.config).name != info.task:
                raise UserError(f"it is a run of {info.task}")
            splits = load_splits(resolved.config)
            if examples.fingerprint(splits, info.features) != info.fingerprint:
                needed.append(changes.DATA)
            obstacle = _obstacle(run, resolved, info, splits, learned)
            if obstacle is None and any(key.startswith(_SHAPING) for key in changed):
                obstacle = _misfit(run, resolved, info)
    except UserError as error:
        obstacle = str(error).splitlines()[0].rstrip(".")
    raise changes.refusal(run, refused, needed, obstacle)


def _obstacle(
    run: RunDir, resolved: ResolvedConfig, info: DataInfo, splits: DataSplits, learned: Sequence[str]
) -> str | None:
    """Returns why what the run has learned from its data does not suit the config, or None if it does."""
    config, task = resolved.config, load_task(resolved.config)
    difference = changes.data_difference(info, splits, task)
    if difference is not None or not learned:
        return difference
    before, after = (
        examples.learn(splits, options, task.name, task.features)[0]
        for options in (run.read_config().data, config.data)
    )
    if (before.features, before.buckets, before.max_length) == (
        after.features,
        after.buckets,
        after.max_length,
    ):
        return None
    keys = learned[0] if len(learned) == 1 else f"at least one of {', '.join(learned)}"
    return f"what it has learned from its data stays as it is, so {keys} would have no effect"


def _misfit(run: RunDir, resolved: ResolvedConfig, info: DataInfo) -> str | None:
    """Returns that the newest checkpoint does not fit the model and the optimizer, or None if it does."""
    config = resolved.config
    strategy = distribution.make_strategy(config.train.replicas)
    average = build_model(config, info, strategy) if config.train.ema_decay else None
    model = build_model(config, info, strategy)
    with strategy.scope():
        optimizer = optimizers.build(config.train)
    multipliers = learning_rate_multipliers.apply_multipliers(resolved, model)
    train_step = TrainStep(
        model,
        optimizer,
        load_task(config),
        info,
        config.train,
        strategy,
        xla=False,
        average=average,
        multipliers=multipliers,
    )
    return (
        None if checkpoint.fits(run, train_step) else "its checkpoint does not fit this model and optimizer"
    )
