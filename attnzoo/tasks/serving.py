"""The module that an export saves: functions of raw inputs, and the resources they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from attnzoo.tasks.types import PredictFn


class ServingModule(tf.Module):
    """Named functions from raw inputs to outputs, for a SavedModel.

    Args:
        functions: signature name -> graph function from raw inputs <string>[batch] to outputs by name.
        input_name: name of the input.
        resources: model, tables and other objects that the SavedModel must track to save their state.

    Examples:
        >>> def upper(text):
        ...     return {"upper": tf.strings.upper(text)}
        >>> module = ServingModule({"serving_default": upper}, "text", resources=[])
        >>> module.signatures()["serving_default"](tf.constant(["hello"]))["upper"].numpy()
        array([b'HELLO'], dtype=object)
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[[tf.Tensor], dict[str, tf.Tensor]]],
        input_name: str,
        resources: Sequence[Any],
    ) -> None:
        super().__init__()
        self.resources = list(resources)
        spec = tf.TensorSpec([None], tf.string, name=input_name)
        self._functions = {
            name: tf.function(function, input_signature=[spec], autograph=False)
            for name, function in functions.items()
        }

    def signatures(self) -> dict[str, Any]:
        """Returns signature name -> function."""
        return dict(self._functions)


def for_any_batch(predict: PredictFn) -> PredictFn:
    """Returns `predict` for batches that may have no examples.

    TensorFlow's convolutions fail for them where oneDNN computes them: an example of zeros takes their place.
    """

    def call(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        count = tf.shape(next(iter(inputs.values())))[0]
        missing = tf.cast(count == 0, tf.int32)
        padded = {
            name: tf.pad(tensor, [[0, missing], *[[0, 0]] * (tensor.shape.rank - 1)])
            for name, tensor in inputs.items()
        }
        return predict(padded)[:count]

    return call
