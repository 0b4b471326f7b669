"""Base class of attention views: of examples in TensorBoard, of inputs on the command line."""

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
    """The attention of a model for one input."""

    @abc.abstractmethod
    def to_json(self) -> str:
        """Returns it as one line of JSON."""


Map = TypeVar("Map", bound=AttentionMap)


class AttentionView(abc.ABC, Generic[Map]):
    """Shows the attention of a task's model."""

    def rows(self, examples: Examples, indices: np.ndarray) -> list[dict[str, Any]]:
        """Returns table rows of the examples at `indices` for TensorBoard's text page.

        A cell is a text, or a list of (text, whether it is highlighted).
        """
        return []

    def pictures(self, examples: Examples, indices: np.ndarray) -> np.ndarray | None:
        """Returns pictures of the examples at `indices`, <uint8>[pictures, height, width, 3]."""
        return None

    @abc.abstractmethod
    def explain_inputs(self, inputs: Sequence[str]) -> Sequence[Map]:
        """Returns the attention for raw inputs: texts, or paths of images.

        Raises:
            UserError: an input cannot be read.
        """

    @abc.abstractmethod
    def explain_split(self, split: Split, indices: np.ndarray) -> Sequence[Map]:
        """Returns the attention for the raw examples at `indices` <int64>[n]."""

    @abc.abstractmethod
    def write(self, maps: Sequence[Map], folder: Path, title: str) -> list[Path]:
        """Writes one picture per map, or one page with all of them.

        Raises:
            UserError: a file cannot be written (4).
        """

    @abc.abstractmethod
    def lines(self, maps: Sequence[Map], paths: Sequence[Path], in_colors: bool) -> Iterator[Any]:
        """Yields lines for a terminal: strings, or objects that Rich prints.

        Args:
            maps: maps to show.
            paths: files written by `write`.
            in_colors: whether the terminal supports colors.
        """

    def faithfulness(self, split: Split) -> Faithfulness | None:
        """Measures the effect of removing attended tokens; None if the view does not support it."""
        return None


def choose_layer(model: keras.Model, name: str | None = None) -> str:
    """Returns the name of the attention layer to show.

    Args:
        model: a functional model.
        name: name of the layer; None for the one nearest to the output: the pooling if it uses attention,
            else the last block.

    Raises:
        UserError: the model has no attention over positions, or no such layer.
    """
    names = attention_weights.attention_names(model)
    if not names:
        raise UserError("the model of this run has no layer with attention over positions.")
    if name is not None and name not in names:
        raise UserError(f"--layer {name}: no such attention layer; expected one of {', '.join(names)}.")
    return name or names[-1]


def attention_received(weights: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the attention that each position receives, <float32>[batch, positions].

    It is the mean over heads and over valid queries.

    Args:
        weights: <float32>[batch, heads, query, positions]; poolings have a single query.
        valid: <bool>[batch, positions], False for padding.

    Examples:
        >>> weights = tf.constant([[[[0.9, 0.1], [0.5, 0.5]]]])
        >>> attention_received(weights, tf.constant([[True, True]])).numpy()
        array([[0.7, 0.3]], dtype=float32)
    """
    weights = tf.reduce_mean(weights, axis=1)  # [batch, query, positions]
    if weights.shape[1] == 1:
        return weights[:, 0]
    queries = tf.cast(valid, weights.dtype)  # [batch, query]
    total = tf.einsum("bq,bqt->bt", queries, weights)
    return tf.math.divide_no_nan(total, tf.reduce_sum(queries, axis=1, keepdims=True))


def target_name(info: DataInfo) -> str:
    """Returns the name of the target feature of a model with one target."""
    return next(name for name, feature in info.features.items() if not feature.is_content)


def rounded(values: Any, decimals: int = 6) -> Any:
    """Returns nested JSON values with floats rounded."""
    if isinstance(values, dict):
        return {name: rounded(value, decimals) for name, value in values.items()}
    if isinstance(values, list):
        return [rounded(value, decimals) for value in values]
    return round(values, decimals) if isinstance(values, float) else values
