"""What decides about the bits of a step."""

import os

import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from attnzoo import export
from attnzoo.config.sections import TrainOptions
from attnzoo.errors import UserError
from attnzoo.runs.building import set_determinism, set_numerics
from tests import gpu_programs, recipes


@pytest.fixture(autouse=True)
def _put_back(monkeypatch):
    for name in ("XLA_FLAGS", "TF_CUDNN_USE_AUTOTUNE"):
        monkeypatch.setenv(name, "")  # what it was comes back afterwards
        monkeypatch.delenv(name)
    yield
    tensorflow_config.disable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(True)


@pytest.mark.filterwarnings("ignore::attnzoo.errors.DataWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", gpu_programs.CONFIGS)
def test_no_operation_of_a_training_is_refused_under_determinism(name, tmp_path):
    resolved = gpu_programs.CONFIGS[name](tmp_path, "train.deterministic=true")
    set_determinism(resolved.config.train)
    assert tensorflow_config.is_op_determinism_enabled()
    assert bool(gpu_programs.take_plain_step(gpu_programs.prepare(resolved))["finite"])


def test_determinism_turns_autotuning_off_and_keeps_other_flags(monkeypatch):
    flags = "--xla_gpu_autotune_level=4 --xla_cpu_enable_fast_math=false --xla_gpu_deterministic_ops"
    monkeypatch.setenv("XLA_FLAGS", flags)
    set_determinism(TrainOptions())
    assert os.environ["XLA_FLAGS"] == flags
    for _ in range(2):
        set_determinism(TrainOptions(deterministic=True))
        monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"] + " --xla_gpu_autotune_level=2")
    set_determinism(TrainOptions(deterministic=True))
    assert os.environ["XLA_FLAGS"].split() == [
        "--xla_cpu_enable_fast_math=false",
        "--xla_gpu_deterministic_ops=true",
        "--xla_gpu_autotune_level=0",
    ]
    assert os.environ["TF_CUDNN_USE_AUTOTUNE"] == "0"


def test_flags_in_a_file_are_refused_where_some_must_be_added(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    set_determinism(TrainOptions())
    with pytest.raises(UserError, match=r"^XLA_FLAGS: names a file \(flags\.txt\), to which train\.determ"):
        set_determinism(TrainOptions(deterministic=True))
    assert os.environ["XLA_FLAGS"] == "flags.txt"
    assert not tensorflow_config.is_op_determinism_enabled()


@pytest.mark.slow
def test_determinism_is_for_training_alone(tmp_path):
    gpu_programs.prepare(recipes.text_config(tmp_path, "train.deterministic=true"))  # builds the model
    assert not tensorflow_config.is_op_determinism_enabled()


def test_runs_that_are_used_together_multiply_as_exactly_as_the_most_exact():
    fast, exact = TrainOptions(tensor_float_32=True), TrainOptions()
    for together, expected in (([fast, fast], True), ([fast, exact], False), ([exact, fast], False)):
        set_numerics(*together)
        assert tf.config.experimental.tensor_float_32_execution_enabled() is expected


@pytest.mark.parametrize("tensor_float_32", [False, True])
def test_exports_are_compared_as_the_products_of_this_process_deserve(monkeypatch, tensor_float_32):
    set_numerics(TrainOptions(tensor_float_32=tensor_float_32))
    assert export._tolerance("float32") == 1e-4  # a CPU has no TensorFloat-32
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU:0"])
    assert export._tolerance("float32") == (1e-2 if tensor_float_32 else 1e-4)
    assert export._tolerance("mixed_bfloat16") == 5e-2
