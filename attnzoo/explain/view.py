"""How attention is viewed, whatever the task: by examples in TensorBoard, by inputs on the command line."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.errors import UserError
from attnzoo.explain.faithfulness import Faithfulness
from attnzoo.features.info import DataInfo
from attnzoo.layers import attention_weights

TRUNCATED = "  (truncated: longer than the model reads)"


class AttentionMap(abc.ABC):
    """Where a model attended for one input."""

    @abc.abstractmethod
    def to_json(self) -> str:
        """Returns all of it on one line."""


Map = TypeVar("Map", bound=AttentionMap)


class AttentionView(abc.ABC, Generic[Map]):
    """Shows where the model of a task attends."""

    def rows(self, examples: Examples, indices: np.ndarray) -> list[dict[str, Any]]:
        """Returns the examples at `indices` for TensorBoard's texts, one dict a row.

        A cell is a text, or a list of (text, whether it stands out).
        """
        return []

    def pictures(self, examples: Examples, indices: np.ndarray) -> np.ndarray | None:
        """Returns the examples at `indices` for TensorBoard, <uint8>[pictures, height, width, 3]."""
        return None

    @abc.abstractmethod
    def of_inputs(self, inputs: Sequence[str]) -> Sequence[Map]:
        """Returns where the model attends for raw inputs: texts, or paths of images.

        Raises:
            UserError: an input cannot be read.
        """

    @abc.abstractmethod
    def of_split(self, split: Split, indices: np.ndarray) -> Sequence[Map]:
        """Returns where the model attends for the raw examples at `indices` <int64>[n]."""

    @abc.abstractmethod
    def write(self, maps: Sequence[Map], folder: Path, title: str) -> list[Path]:
        """Writes pictures, one a map, or one page of all of them.

        Raises:
            UserError: a file cannot be written (4).
        """

    @abc.abstractmethod
    def lines(self, maps: Sequence[Map], paths: Sequence[Path], in_colors: bool) -> Iterator[Any]:
        """Yields what a terminal shows: texts, or what Rich prints.

        Args:
            maps: what was looked at.
            paths: what `write` wrote.
            in_colors: whether the terminal has colors.
        """

    def faithfulness(self, split: Split) -> Faithfulness | None:
        """Returns whether what is attended to matters, by taking it away; None where nobody knows how."""
        return None


def choose_layer(model: keras.Model, name: str | None = None) -> str:
    """Returns the name of an attention of the model.

    Args:
        model: a functional model.
        name: of the layer; None for the one nearest to the output: the pooling where that is an attention,
            else the last block.

    Raises:
        UserError: the model has no attention over positions, or none of this name.
    """
    names = attention_weights.attention_names(model)
    if not names:
        raise UserError("the model of this run has no layer that attends to positions.")
    if name is not None and name not in names:
        raise UserError(f"--layer {name}: there is no such attention; expected one of {', '.join(names)}.")
    return name or names[-1]


def attention_received(weights: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the attention that each position receives, <float32>[batch, positions].

    Args:
        weights: <float32>[batch, heads, query, positions]; of one query, as a pooling has, or of every one.
        valid: <bool>[batch, positions], False for padding.
    """
    weights = tf.reduce_mean(weights, axis=1)  # [batch, query, positions]
    if weights.shape[1] == 1:
        return weights[:, 0]
    queries = tf.cast(valid, weights.dtype)  # [batch, query]
    total = tf.einsum("bq,bqt->bt", queries, weights)
    return tf.math.divide_no_nan(total, tf.reduce_sum(queries, axis=1, keepdims=True))


def target_name(info: DataInfo) -> str:
    """Returns the name of the feature that a model with one target gives."""
    return next(name for name, feature in info.features.items() if not feature.is_content)


def rounded(values: Any, decimals: int = 6) -> Any:
    """Returns nested JSON values with their floats rounded."""
    if isinstance(values, dict):
        return {name: rounded(value, decimals) for name, value in values.items()}
    if isinstance(values, list):
        return [rounded(value, decimals) for value in values]
    return round(values, decimals) if isinstance(values, float) else values
