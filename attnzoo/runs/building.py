"""Building the model of a config."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.data.pipeline import BatchSizes
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import mebibytes
from attnzoo.startup import memory_bytes


def build_model(
    config: RunConfig, info: DataInfo, strategy: tf.distribute.Strategy | None = None
) -> keras.Model:
    """Builds the model of a config with fresh weights that depend on the seed alone.

    Variable paths are the same in every process: they name the tensors on disk.

    Raises:
        UserError: options that do not go together, such as units that the heads do not divide; weights that
            do not fit into the memory of this machine, before they take any.
    """
    keras.backend.clear_session()
    keras.config.set_dtype_policy(config.train.precision)
    keras.utils.set_random_seed(config.seed)
    try:
        with (strategy or tf.distribute.get_strategy()).scope(), _no_more_weights_than_memory():
            return catalog.load("models", config.model.name).build(config.model, info)
    except ValueError as error:
        raise UserError(f"model {config.model.name}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _no_more_weights_than_memory() -> Iterator[None]:
    memory = memory_bytes()
    total = 0

    def create(make: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        nonlocal total
        value = options["initial_value"]
        if callable(value):
            with tf.Graph().as_default():  # Here a value has a shape and takes no memory.
                value = value()
        total += value.shape.num_elements() * value.dtype.size
        if total > memory:
            raise ValueError(
                f"its weights take more than the {mebibytes(memory)} of this machine; make it smaller."
            )
        return make(**options)

    with tf.variable_creator_scope(create):
        yield


def evaluation_sizes(config: RunConfig) -> BatchSizes:
    """Returns the batch sizes of evaluations."""
    train, size = config.train, config.eval.batch_size
    return BatchSizes(size or train.batch_size, None if size else train.batch_tokens, train.replicas)
