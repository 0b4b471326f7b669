"""The interface of features that models predict. Imports no TensorFlow."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from etils import epy

from attnzoo.features.feature import Feature

with epy.lazy_imports():
    import tensorflow as tf


class Target(Feature):
    """A feature that models predict: `activate` turns the outputs of a model into predicted values."""

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """Number of model outputs for it."""

    @abc.abstractmethod
    def activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns predicted values <float>[batch, num_outputs] for model outputs of the same shape."""

    @abc.abstractmethod
    def answer(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the prediction for values <float>[num_outputs], as JSON."""

    @abc.abstractmethod
    def prediction_texts(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the prediction in human-readable form: (answer, its probability or "") pairs."""

    @abc.abstractmethod
    def true_answer(self, value: Any) -> dict[str, Any]:
        """Returns the true value of an example as JSON; null for None, if it is unknown."""

    @abc.abstractmethod
    def format_value(self, value: Any) -> str:
        """Returns the true value of an example in human-readable form."""

    def alternatives(self, values: np.ndarray) -> list[tuple[str, str]]:
        """Returns the most probable answers that were not predicted, with their probabilities."""
        return []

    def is_correct(self, values: np.ndarray, value: Any) -> bool | None:
        """Returns whether the prediction is the true value, or None if there is no right or wrong."""
        return None
