"""Programs for a GPU: XLA has one of every model and mechanism, and exports hold nothing of one.

Keras and attention are made to see a GPU. None is needed.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention, catalog
from attnzoo.attention.devices import assumed_gpu
from attnzoo.attention.mechanisms import parse
from attnzoo.config.sections import TrainOptions
from attnzoo.export import ALLOWED_OPERATIONS, traced_signatures
from attnzoo.layers.recurrent import bidirectional
from attnzoo.training import optimizers
from tests import gpu_programs, mechanisms
from tests.thinned import thinned

UNITS = 6
SMALL = {"num_heads": 3, "hidden_units": 11, "ratio": 2, "kernel_size": 3}
RECURRENT = {
    f"recurrent={cell}": ("text_classifier", f"model.recurrent={cell}", "model.num_layers=0")
    for cell in ("gru", "lstm")
}
TEXTS = {f"text, {name}": ("text_classifier", f"model.attention={name}") for name in mechanisms.NAMES}
IMAGES = {
    f"image, {name}": ("image_classifier", f"model.attention={name}", "model.stages=[[8]]")
    for name in mechanisms.NAMES
}
MODELS = {name: (name,) for name in gpu_programs.CONFIGS}
LSTM = {"translation_rnn, lstm": ("translation_rnn", "model.cell=lstm")}
HALF = "train.precision=mixed_bfloat16"
HALVES = {f"{name}, half precision": (name, HALF) for name in MODELS}  # a CPU cannot run all of them
CASES = {**RECURRENT, **MODELS, **LSTM, **IMAGES, **TEXTS, **HALVES}
pytestmark = [
    pytest.mark.filterwarnings("ignore::attnzoo.errors.DataWarning"),
    pytest.mark.usefixtures("_assumed_gpu"),
]


@pytest.fixture
def _assumed_gpu(monkeypatch):
    gpu_programs.show_keras_a_gpu(monkeypatch)
    with assumed_gpu():
        yield
    keras.config.set_dtype_policy("float32")


def prepared(case, folder):
    name, *overrides = CASES[case]
    return gpu_programs.prepare(gpu_programs.CONFIGS[name](folder, "train.xla=auto", *overrides))


def test_every_model_has_a_case():
    assert sorted(MODELS) == catalog.names("models")


@pytest.mark.parametrize("name", mechanisms.NAMES)
@pytest.mark.parametrize(
    ("policy", "time"),
    [
        ("float32", 7),
        pytest.param("float32", 307, marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", 7, marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", 307, marks=pytest.mark.slow),
    ],
)
def test_xla_has_a_program_of_every_mechanism_and_its_gradients(policy, time, name):
    keras.config.set_dtype_policy(policy)
    known = parse(name).model_dump()
    small = {option: value for option, value in SMALL.items() if option in known}
    layer = attention.build({**known, **small}, UNITS)
    inputs = tf.random.stateless_normal([2, time, UNITS], [3, 5])
    layer(inputs)

    def gradients(values, inputs, mask):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(layer(inputs, padding_mask=mask, training=True) ** 2)
        return tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    floating = [one for one in layer.variables if one.dtype == "float32"]
    program = gpu_programs.with_values(floating, gradients)
    values = [tf.convert_to_tensor(one.value) for one in floating]
    assert gpu_programs.lower(program, values, inputs, tf.sequence_mask([3, time], time)).startswith(
        "HloModule"
    )


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_layers_are_programs_for_every_device(cell):
    layer = bidirectional(cell, 6, "recurrent")
    inputs, mask = tf.ones([2, 5, 3]), tf.sequence_mask([3, 5], 5)
    layer(inputs)
    program = gpu_programs.with_values(
        layer.variables, lambda values, inputs, mask: layer(inputs, mask=mask, training=True)
    )
    values = [tf.convert_to_tensor(one.value) for one in layer.variables]
    assert gpu_programs.lower(program, values, inputs, mask).startswith("HloModule")
    graph = tf.function(lambda: layer(inputs, mask=mask), autograph=False).get_concrete_function().graph
    assert gpu_programs.without_kernel(graph, "CPU") == set()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_xla_has_a_program_of_every_step_and_export(case, tmp_path):
    model = prepared(case, tmp_path)
    if model.config.model.compiles:
        assert gpu_programs.lower_gradients(model).startswith("HloModule")
    assert gpu_programs.lower_outputs(model).startswith("HloModule")
    module = model.task.serving_module(model.model, model.info, model.config.eval)
    if module is not None:
        assert_runs_without_a_gpu(module)


def assert_runs_without_a_gpu(module):
    for function in traced_signatures(module).values():
        graph = function.get_concrete_function().graph
        assert gpu_programs.without_kernel(graph, "CPU") == set()
        assert set(gpu_programs.operations(graph)) - gpu_programs.called(graph) <= ALLOWED_OPERATIONS
        assert {operation.device for operation in graph.get_operations()} == {""}


def test_an_export_in_half_precision_from_a_process_with_a_gpu_is_for_a_cpu(tmp_path):
    model = gpu_programs.prepare(gpu_programs.CONFIGS["text_classifier"](tmp_path, HALF))
    module = model.task.serving_module(model.model, model.info, model.config.eval)
    assert_runs_without_a_gpu(module)
    outside = tf.function(model.model, autograph=False, reduce_retracing=True)
    inputs = {"text": tf.TensorSpec([None, None], tf.int32)}
    held = set(gpu_programs.operations(outside.get_concrete_function(inputs).graph))
    assert "BatchMatMulV3" in held  # blocks of a GPU, without the scope of exports


@pytest.mark.slow
@pytest.mark.own_process
@pytest.mark.parametrize("case", [case for case in CASES if case not in HALVES])
def test_every_model_and_mechanism_takes_a_step_with_xla_auto(case, tmp_path, monkeypatch):
    model = prepared(case, tmp_path)
    before = [weight.numpy() for weight in model.model.trainable_variables]
    sums = gpu_programs.take_step(model, monkeypatch)
    assert bool(sums["finite"])
    assert all(np.isfinite(value).all() for value in sums.values())
    after = [weight.numpy() for weight in model.model.trainable_variables]
    assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize("name", thinned(["adamw", "adafactor", "lamb", "lion", "sgd"], 5))
def test_xla_has_a_program_of_every_update(name):
    optimizer = optimizers.build(TrainOptions(optimizer=name, weight_decay=0.1))
    weights = [keras.Variable(tf.ones([5, 7]), name="kernel"), keras.Variable(tf.ones([7]), name="bias")]
    optimizer.build(weights)
    variables = [*optimizer.variables, *weights]
    update = tf.function(lambda: optimizer.apply([tf.ones([5, 7]), tf.ones([7])]), autograph=False)
    assert gpu_programs.without_kernel(update.get_concrete_function().graph, "XLA_GPU_JIT") == set()
    update()
    assert all(np.isfinite(one.numpy()).all() for one in variables)
