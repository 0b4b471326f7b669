"""Builds the model of a config."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import RunConfig
from attnzoo.config.sections import TrainOptions
from attnzoo.data.pipeline import BatchSizes
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import mebibytes
from attnzoo.startup import memory_bytes

_DETERMINISTIC_XLA = {"--xla_gpu_deterministic_ops": "true", "--xla_gpu_autotune_level": "0"}


def set_numerics(*options: TrainOptions) -> None:
    """Sets what decides about the numbers that operations give, for the whole process.

    Args:
        *options: the train sections of the runs that are used together: TensorFloat-32 is on if it is in all
            of them. New models have the precision of the first.
    """
    keras.config.set_dtype_policy(options[0].precision)
    tf.config.experimental.enable_tensor_float_32_execution(all(one.tensor_float_32 for one in options))


def set_determinism(options: TrainOptions) -> None:
    """Allows only operations that give the same bits each time, if `train.deterministic` asks for it.

    It stays so until the process ends; programs that were compiled before keep what they have.

    Raises:
        UserError: the flags of XLA are in a file, so that none can be added (exit code 2).
    """
    if not options.deterministic:
        return
    flags = os.environ.get("XLA_FLAGS", "").split()
    if flags and not flags[0].startswith("-"):
        raise UserError(
            f"XLA_FLAGS: names a file ({flags[0]}), to which train.deterministic cannot add its flags; set "
            "XLA_FLAGS to the flags themselves."
        )
    others = [flag for flag in flags if flag.partition("=")[0] not in _DETERMINISTIC_XLA]
    ours = [f"{name}={value}" for name, value in _DETERMINISTIC_XLA.items()]
    os.environ["XLA_FLAGS"] = " ".join([*others, *ours])
    os.environ["TF_CUDNN_USE_AUTOTUNE"] = "0"
    tf.config.experimental.enable_op_determinism()


def build_model(
    config: RunConfig, info: DataInfo, strategy: tf.distribute.Strategy | None = None
) -> keras.Model:
    """Builds the model of a config with initial weights that depend only on the seed.

    Variable paths are the same in every process: they name the tensors on disk.

    Raises:
        UserError: incompatible options, such as units that are not divisible by the number of heads; weights
            that do not fit into the memory of this machine, before any is allocated.
    """
    keras.backend.clear_session()
    set_numerics(config.train)
    keras.utils.set_random_seed(config.seed)
    try:
        with (strategy or tf.distribute.get_strategy()).scope(), _limit_weights_to_memory():
            return catalog.load("models", config.model.name).build(config.model, info)
    except ValueError as error:
        raise UserError(f"model {config.model.name}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _limit_weights_to_memory() -> Iterator[None]:
    memory = memory_bytes()
    total = 0

    def create(make: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        nonlocal total
        value = options["initial_value"]
        if callable(value):
            with tf.Graph().as_default():  # In a graph the value has a shape but takes no memory.
                value = value()
        total += value.shape.num_elements() * value.dtype.size
        if total > memory:
            raise ValueError(
                f"its weights need more than the {mebibytes(memory)} of memory of this machine; reduce its "
                "size."
            )
        return make(**options)

    with tf.variable_creator_scope(create):
        yield


def evaluation_sizes(config: RunConfig) -> BatchSizes:
    """Returns the batch sizes for evaluations."""
    train, size = config.train, config.eval.batch_size
    return BatchSizes(size or train.batch_size, None if size else train.batch_tokens, train.replicas)
