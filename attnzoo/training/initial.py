"""What a run takes from the finished run that `train.init_from` names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.config.source import Origin
from attnzoo.errors import UserError
from attnzoo.runs.data import task_of
from attnzoo.runs.folder import RunDir
from attnzoo.variables import by_name, read_tensors, size_limit

_LARGEST_BYTES = 4 << 30
_ORIGIN = Origin("train.init_from", (0, 0))


def with_options(resolved: ResolvedConfig) -> tuple[ResolvedConfig, list[str]]:
    """Returns the config with the options under which the other run has learned what is taken from it.

    Args:
        resolved: the config; without `train.init_from` nothing changes.

    Returns:
        The config, whose defaults have given way, and the options that changed, `data.tokenizer=bpe`.

    Raises:
        UserError: there is no such run, or the config itself gives other options (exit code 2).
    """
    config = resolved.config
    if config.train.init_from is None:
        return resolved, []
    run = RunDir(Path(config.train.init_from))
    run.require_format()
    others: dict[str, Any] = dict(_learning_options(config, RunConfig.read(run.config)))
    given = [key for key in others if resolved.origin(f"data.{key}") != "default"]
    if given:
        wanted = ", ".join(f"data.{key} is {_shown(others[key])} there" for key in given)
        raise UserError(
            f"{resolved.origin(f'data.{given[0]}')}: train.init_from: {run.path}: its vocabulary was learned "
            f"with other options: {wanted}; set the same here, or leave "
            f"{'it' if len(given) == 1 else 'them'} out."
        )
    data = config.data.model_copy(update=others)
    origins = dict(resolved.origins)
    for key in others:
        origins["data", key] = _ORIGIN
    taken = [f"data.{key}={_shown(value)}" for key, value in others.items()]
    return ResolvedConfig(dataclasses.replace(config, data=data), origins), taken


def _learning_options(here: RunConfig, there: RunConfig) -> Iterator[tuple[str, Any]]:
    """Yields the options of `there` that decide what is learned, where they differ from those of `here`."""
    features, others = task_of(here).features, task_of(there).features
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name in features.keys() & others.keys():
        ours |= features[name].learning_options(here.data)
        theirs |= others[name].learning_options(there.data)
    for key in ours:
        if key in theirs and ours[key] != theirs[key]:
            yield key, theirs[key]


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def assign_weights(run: RunDir, model: keras.Model) -> tuple[int, list[str]]:
    """Gives `model` the weights of a finished run where names and shapes agree; the others stay.

    Those that are not trained are among them: statistics of normalizations, ratios of n-grams.

    Args:
        run: the run that they come from.
        model: of any kind.

    Returns:
        How many tensors were taken, and the names of those that were not.

    Raises:
        UserError: the run has no final weights, or none fits (2); they are damaged (4).
    """
    if not run.final.is_dir():
        raise UserError(f"train.init_from: {run.path}: not a finished run; train it to its end first.")
    run.refuse_links()
    values, _ = read_tensors(run.final, max(size_limit(model.weights), _LARGEST_BYTES))
    named = by_name(model.weights, "model")
    fitting = {
        name: variable
        for name, variable in named.items()
        if name in values and values[name].shape == tuple(variable.shape)
    }
    if not fitting:
        raise UserError(f"train.init_from: {run.path}: not one of its weights fits this model; compare both.")
    for name, variable in fitting.items():
        variable.assign(values[name])
    return len(fitting), sorted(named.keys() - fitting.keys())
