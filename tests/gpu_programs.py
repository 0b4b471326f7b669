"""Programs of small models as a machine with a GPU makes them, and what XLA has for a GPU of them.

There need not be a GPU: XLA lowers for it, and refuses operations that it cannot compile there.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework import kernels

from attnzoo.config import ResolvedConfig
from attnzoo.training import optimizers
from attnzoo.training.run import use_xla
from attnzoo.training.step import TrainStep
from tests import recipes

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from training_programs import Prepared, lower, lower_gradients, prepare, with_values  # noqa: E402

__all__ = ["lower_gradients", "prepare"]


def show_keras_a_gpu(monkeypatch) -> None:
    """Makes Keras take cuDNN's operations where it would on a machine with a GPU."""
    module = importlib.import_module("keras.src.backend.tensorflow.rnn")  # a function hides it in its package
    monkeypatch.setattr(module, "_is_gpu_available", lambda: True)


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


def take_step(prepared: Prepared, monkeypatch) -> dict[str, tf.Tensor]:
    """Takes the first step of a training, compiled as on a machine with one GPU."""
    config, task = prepared.config, prepared.task
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "list_physical_devices", lambda *_: ["a GPU"])
        xla = use_xla(config, task, prepared.model)
    assert xla == config.model.compiles
    return take_plain_step(prepared, xla)


def take_plain_step(prepared: Prepared, xla: bool = False) -> dict[str, tf.Tensor]:
    """Takes the first step of a training."""
    config, task, info, model, batch = prepared
    optimizer = optimizers.build(config.train)
    train_step = TrainStep(model, optimizer, task, info, config.train, tf.distribute.get_strategy(), xla=xla)
    return train_step.step([batch], config.train.learning_rate)


def lower_outputs(prepared: Prepared) -> str:
    """Returns the program of the outputs of a model, as exports hold it; raises as `lower` does."""
    model, info = prepared.model, prepared.info
    values = [tf.convert_to_tensor(variable.value) for variable in model.variables]
    outputs = with_values(model.variables, lambda values, inputs: model(info.model_inputs(inputs)))
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
