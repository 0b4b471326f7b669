"""Learning rate multipliers by layer name: layers can train slower or faster, or be frozen."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import keras

from attnzoo.config import ResolvedConfig
from attnzoo.errors import UserError
from attnzoo.records.text_files import join_names, printable
from attnzoo.suggest import did_you_mean


def apply_multipliers(resolved: ResolvedConfig, model: keras.Model) -> dict[str, float]:
    """Freezes the weights whose multiplier is 0 and returns the multipliers of the others.

    Args:
        resolved: its `train.learning_rate_multipliers` maps patterns to multipliers. A pattern matches a
            weight if it matches its path (`block_0/attention/query/kernel`) or a prefix of it that ends
            before a `/` (`block_*`); the first matching pattern applies.
        model: a built model.

    Returns:
        Path of a weight -> multiplier, for those that are neither 0 nor 1.

    Raises:
        UserError: a pattern matches no weight, or all weights are frozen (exit code 2).
    """
    multipliers = resolved.config.train.learning_rate_multipliers
    by_path = {variable.path: variable for variable in model.trainable_variables}
    for pattern in multipliers:
        if not any(_matches(pattern, path) for path in by_path):
            layers = dict.fromkeys(path.split("/")[0] for path in by_path)
            origin = resolved.origins[("train", "learning_rate_multipliers", pattern)].label
            raise UserError(
                f"{origin}: train.learning_rate_multipliers: no weight matches '{printable(pattern)}'"
                f"{did_you_mean(pattern, layers)}; the layers are {join_names(layers)}."
            )
    by_weight = {path: _multiplier(multipliers, path) for path in by_path}
    if not any(by_weight.values()):
        raise UserError(
            "train.learning_rate_multipliers: all weights are frozen (multiplier 0); leave some to train."
        )
    for path, variable in by_path.items():
        if by_weight[path] == 0.0:
            variable.trainable = False
    for layer in model._flatten_layers(include_self=False):
        # A layer whose weights are all frozen is frozen itself, so that batch normalization uses its
        # moving statistics.
        paths = [variable.path for variable in layer.weights]
        paths = [path for path in paths if path in by_path] or paths
        if paths and not any(_multiplier(multipliers, path) for path in paths):
            layer.trainable = False
    return {path: multiplier for path, multiplier in by_weight.items() if multiplier not in (0.0, 1.0)}


def _matches(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")


def _multiplier(multipliers: Mapping[str, float], path: str) -> float:
    return next((value for pattern, value in multipliers.items() if _matches(pattern, path)), 1.0)
