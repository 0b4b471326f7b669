"""Layers that compute a state from the data before training, like Keras layers with `adapt`."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

Batches = Iterable[tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]]
"""(inputs, targets) of one pass over the training data, without rows that only pad a batch."""


class AdaptedLayer(keras.layers.Layer):
    """Base class of layers with a state that is computed once from the data and not trained."""

    @abc.abstractmethod
    def adapt(self, batches: Batches) -> None:
        """Computes the state.

        Args:
            batches: inputs and targets of the model that contains the layer.
        """


def adapt(model: keras.Model, batches: Callable[[], Batches]) -> None:
    """Adapts all layers of a model that need it.

    Args:
        model: a built model.
        batches: returns one pass over the training data; called once for each layer that needs it.
    """
    for layer in model.layers:
        if isinstance(layer, AdaptedLayer):
            layer.adapt(batches())
