"""What an export holds: functions of raw inputs, and all that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf


class ServingModule(tf.Module):
    """Functions of raw inputs, each with one name.

    Args:
        functions: signature -> function of raw inputs <string>[batch], in the graph, to outputs by name.
        input_name: what the inputs are called.
        resources: the model, tables and the like: a SavedModel keeps only what it can reach this way.
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
