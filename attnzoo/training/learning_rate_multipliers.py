"""Learning rates of layers by name: some learn slower or faster than others, some not at all."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import keras

from attnzoo.config import ResolvedConfig
from attnzoo.errors import UserError
from attnzoo.records.text_files import listed, shown
from attnzoo.suggest import did_you_mean


def assign(resolved: ResolvedConfig, model: keras.Model) -> dict[str, float]:
    """Freezes the weights whose rate is 0 and returns the factors of the others.

    Args:
        resolved: gives `train.learning_rate_multipliers`, a factor of the learning rate by
            pattern. A pattern fits a weight if it fits its path (`block_0/attention/query/kernel`)
            or the beginning of it up to a `/` (`block_*`); of several that fit the first counts.
        model: built.

    Returns:
        Path of a weight -> factor, where it is neither 0 nor 1.

    Raises:
        UserError: a pattern fits no weight, or none is left to train (exit code 2).
    """
    rates = resolved.config.train.learning_rate_multipliers
    by_path = {variable.path: variable for variable in model.trainable_variables}
    for pattern in rates:
        if not any(_fits(pattern, path) for path in by_path):
            layers = dict.fromkeys(path.split("/")[0] for path in by_path)
            origin = resolved.origins[("train", "learning_rate_multipliers", pattern)].label
            raise UserError(
                f"{origin}: train.learning_rate_multipliers: no weight fits '{shown(pattern)}'"
                f"{did_you_mean(pattern, layers)}; the layers are {listed(layers)}."
            )
    factors = {path: _factor(rates, path) for path in by_path}
    if not any(factors.values()):
        raise UserError(
            "train.learning_rate_multipliers: every weight is frozen (rate 0); leave one to train."
        )
    for path, variable in by_path.items():
        if factors[path] == 0.0:
            variable.trainable = False
    for layer in model._flatten_layers(include_self=False):
        # A layer with nothing left to train is frozen as a whole: normalizations use stored statistics.
        paths = [variable.path for variable in layer.weights]
        paths = [path for path in paths if path in by_path] or paths
        if paths and not any(_factor(rates, path) for path in paths):
            layer.trainable = False
    return {path: factor for path, factor in factors.items() if factor not in (0.0, 1.0)}


def _fits(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")


def _factor(rates: Mapping[str, float], path: str) -> float:
    return next((rate for pattern, rate in rates.items() if _fits(pattern, path)), 1.0)
