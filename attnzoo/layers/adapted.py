"""Layers that see the data before training, as Keras layers with `adapt` do."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

Batches = Iterable[tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]]
"""(inputs, targets) of one pass over train, without rows that only fill up a batch."""


class AdaptedLayer(keras.layers.Layer):
    """Base of the layers with a state that is computed from the data once, and not trained."""

    @abc.abstractmethod
    def adapt(self, batches: Batches) -> None:
        """Computes the state.

        Args:
            batches: inputs and targets of the model that the layer is in.
        """


def adapt(model: keras.Model, batches: Callable[[], Batches]) -> None:
    """Lets the layers of a model see the data that have to.

    Args:
        model: built.
        batches: makes one pass over train; called once a layer, so that models without such layers cost none.
    """
    for layer in model.layers:
        if isinstance(layer, AdaptedLayer):
            layer.adapt(batches())
