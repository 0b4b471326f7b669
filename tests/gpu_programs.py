"""Programs of small models as a machine with a GPU makes them, and what XLA has for a GPU of them.

There need not be a GPU: XLA lowers for it, and refuses operations that it cannot compile there.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.python.framework import kernels

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.data import examples as data_examples
from attnzoo.data import pipeline
from attnzoo.features.info import DataInfo
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, load_task
from attnzoo.tasks.task import Task
from attnzoo.training import optimizers
from attnzoo.training.run import use_xla
from attnzoo.training.step import TrainStep
from tests import recipes


def show_keras_a_gpu(monkeypatch) -> None:
    """Makes Keras take cuDNN's operations where it would on a machine with a GPU."""
    module = importlib.import_module("keras.src.backend.tensorflow.rnn")  # a function hides it in its package
    monkeypatch.setattr(module, "_is_gpu_available", lambda: True)


class Prepared(NamedTuple):
    """A model with its first batch."""

    config: RunConfig
    task: Task
    info: DataInfo
    model: keras.Model
    batch: pipeline.Batch


def masked_text(folder: Path, *overrides: str) -> ResolvedConfig:
    return recipes.text_config(folder, "model.name=masked_text_model", *overrides)


def multi_label(folder: Path, *overrides: str) -> ResolvedConfig:
    return recipes.text_config(folder, "model.name=multi_label_text_classifier", *overrides)


def translation_rnn(folder: Path, *overrides: str) -> ResolvedConfig:
    model = "model={name: translation_rnn, units: 16, attention: additive}"
    return recipes.translation_config(folder, model, *overrides)


def detector_transformer(folder: Path, *overrides: str) -> ResolvedConfig:
    model = (
        "model={name: detector_transformer, stages: [[4], [8], [8]], strides: [4, 8], pyramid_units: 8, "
        "num_queries: 7, num_layers: 1, feed_forward_units: 8}"
    )
    return recipes.detection_config(folder, model, *overrides)


CONFIGS: dict[str, Callable[..., ResolvedConfig]] = {
    "detector": recipes.detection_config,
    "detector_transformer": detector_transformer,
    "image_classifier": recipes.image_config,
    "image_regressor": recipes.image_regression_config,
    "masked_text_model": masked_text,
    "multi_label_text_classifier": multi_label,
    "text_classifier": recipes.text_config,
    "text_regressor": recipes.text_regression_config,
    "translation": recipes.translation_config,
    "translation_rnn": translation_rnn,
}
"""Model -> a small recipe of it."""


def prepare(resolved: ResolvedConfig) -> Prepared:
    """Builds the model of a config and makes its first batch of training, without a run."""
    config = resolved.config
    task = load_task(config)
    info, examples = data_examples.learn(load_splits(config), config.data, task.name, task.features, None)
    train = data_examples.with_resamplers(examples["train"], info, config.data)
    sizes = pipeline.BatchSizes(config.train.batch_size, config.train.batch_tokens)
    plans = ((0, plan) for plan in pipeline.plan_epoch(train, info, sizes, (config.seed, 0)))
    make_batch = task.make_batch(info, train, config.train)
    batch = next(iter(pipeline.batches(train, info, plans, make_batch, changes=config.data)))
    return Prepared(config, task, info, build_model(config, info), batch)


def take_step(prepared: Prepared, monkeypatch) -> dict[str, tf.Tensor]:
    """Takes the first step of a training, compiled as on a machine with one GPU."""
    config, task = prepared.config, prepared.task
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "list_physical_devices", lambda *_: ["a GPU"])
        xla = use_xla(config, task)
    assert xla == config.model.compiles
    return take_plain_step(prepared, xla)


def take_plain_step(prepared: Prepared, xla: bool = False) -> dict[str, tf.Tensor]:
    """Takes the first step of a training."""
    config, task, _, model, batch = prepared
    optimizer = optimizers.build(config.train)
    train_step = TrainStep(model, optimizer, task, config.train, tf.distribute.get_strategy(), xla=xla)
    return train_step.step([batch], config.train.learning_rate)


def lower(function: Callable, *arguments) -> str:
    """Returns the program that XLA compiles of a function on a GPU.

    Raises:
        tf.errors.InvalidArgumentError: it has an operation that XLA cannot compile for a GPU.
    """
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo", platform_name="GPU")


def with_values(variables: Sequence[keras.Variable], function: Callable) -> Callable:
    """Returns a function without state, which takes the values of variables before its own arguments."""

    def program(values, *arguments):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(values, *arguments)

    return program


def lower_gradients(prepared: Prepared) -> str:
    """Returns the program of the gradients of a batch; raises as `lower` does."""
    config, task, _, model, batch = prepared
    trained = {variable.path for variable in model.trainable_variables}

    def gradients(values, inputs, targets):
        watched = [value for one, value in zip(model.variables, values, strict=True) if one.path in trained]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            sums = task.sums(model, inputs, targets, config.train)
        return tape.gradient(sums["loss"][0], watched), sums

    values = [tf.convert_to_tensor(variable.value) for variable in model.variables]
    return lower(with_values(model.variables, gradients), values, *batch)


def lower_outputs(prepared: Prepared) -> str:
    """Returns the program of the outputs of a model, as exports hold it; raises as `lower` does."""
    model = prepared.model
    values = [tf.convert_to_tensor(variable.value) for variable in model.variables]
    outputs = with_values(model.variables, lambda values, inputs: model(inputs, training=False))
    return lower(outputs, values, prepared.batch[0])


def operations(graph: tf.Graph) -> Iterator[str]:
    """Yields the operations of a graph and of the functions that it calls."""
    definition = graph.as_graph_def()
    yield from (node.op for node in definition.node)
    for function in definition.library.function:
        yield from (node.op for node in function.node_def)


def called(graph: tf.Graph) -> set[str]:
    """Returns the names of the functions that a graph calls, some as operations."""
    return {function.signature.name for function in graph.as_graph_def().library.function}


def without_kernel(graph: tf.Graph, device: str) -> set[str]:
    """Returns the operations of a graph that a kind of device ("CPU", "XLA_GPU_JIT") cannot run."""
    lower(lambda one: one, tf.zeros([]))  # XLA registers its kernels when it is first used

    def runs(name: str) -> bool:
        registered = kernels.get_registered_kernels_for_op(name).kernel
        return any(one.device_type in (device, "DEFAULT") for one in registered)

    return {name for name in set(operations(graph)) - called(graph) if not runs(name)}
