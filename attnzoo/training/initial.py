"""Initialization of a run from the finished run that `train.init_from` names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.config.source import Origin
from attnzoo.errors import UserError
from attnzoo.runs.data import load_task
from attnzoo.runs.folder import RunDir
from attnzoo.variables import by_name, read_tensors, size_limit

_MAX_BYTES = 4 << 30
_ORIGIN = Origin("train.init_from", (0, 0))


def with_options(resolved: ResolvedConfig) -> tuple[ResolvedConfig, list[str]]:
    """Returns the config with the options that the vocabulary of the other run was learned with.

    Args:
        resolved: the config; without `train.init_from` it is returned unchanged.

    Returns:
        The config, with defaults replaced by those options, and the options that changed, such as
        "data.tokenizer=bpe".

    Raises:
        UserError: there is no such run, or the config sets other values (exit code 2).
    """
    config = resolved.config
    if config.train.init_from is None:
        return resolved, []
    run = RunDir(Path(config.train.init_from))
    run.require_format()
    others: dict[str, Any] = dict(_learning_options(config, RunConfig.read(run.config)))
    given = [key for key in others if resolved.origin(f"data.{key}") != "default"]
    if given:
        expected = ", ".join(f"data.{key}={_formatted(others[key])}" for key in given)
        raise UserError(
            f"{resolved.origin(f'data.{given[0]}')}: train.init_from: {run.path}: its vocabulary was learned "
            f"with {expected}; set the same here, or remove {'it' if len(given) == 1 else 'them'}."
        )
    data = config.data.model_copy(update=others)
    origins = dict(resolved.origins)
    for key in others:
        origins["data", key] = _ORIGIN
    taken = [f"data.{key}={_formatted(value)}" for key, value in others.items()]
    return ResolvedConfig(dataclasses.replace(config, data=data), origins), taken


def _learning_options(here: RunConfig, there: RunConfig) -> Iterator[tuple[str, Any]]:
    """Yields the options of `there` that affect what features learn and differ from those of `here`."""
    features, others = load_task(here).features, load_task(there).features
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name in features.keys() & others.keys():
        ours |= features[name].learning_options(here.data)
        theirs |= others[name].learning_options(there.data)
    for key in ours:
        if key in theirs and ours[key] != theirs[key]:
            yield key, theirs[key]


def _formatted(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def assign_weights(run: RunDir, model: keras.Model) -> tuple[int, list[str]]:
    """Loads the weights of a finished run whose names and shapes match those of `model`.

    Non-trainable weights are included, such as statistics of batch normalization.

    Args:
        run: the finished run.
        model: any model; its other weights are unchanged.

    Returns:
        The number of tensors loaded, and the names of those that were not.

    Raises:
        UserError: the run has no final weights, or none of them match (2); they are damaged (4).
    """
    if not run.final.is_dir():
        raise UserError(f"train.init_from: {run.path}: not a finished run; finish its training first.")
    run.refuse_links()
    values, _ = read_tensors(run.final, max(size_limit(model.weights), _MAX_BYTES))
    named = by_name(model.weights, "model")
    matching = {
        name: variable
        for name, variable in named.items()
        if name in values and values[name].shape == tuple(variable.shape)
    }
    if not matching:
        raise UserError(
            f"train.init_from: {run.path}: none of its weights match this model; compare their configs."
        )
    for name, variable in matching.items():
        variable.assign(values[name])
    return len(matching), sorted(named.keys() - matching.keys())
