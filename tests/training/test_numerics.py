"""What decides about the bits of a step."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from attnzoo import export
from attnzoo.config.sections import TrainOptions
from attnzoo.runs import building
from attnzoo.runs.building import build_model, set_numerics
from tests import gpu_programs

DETERMINISTIC = ("train.deterministic=true", "train.xla=false")


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
def test_a_deterministic_step_is_the_same_each_time(name, tmp_path):
    prepared = gpu_programs.prepare(gpu_programs.CONFIGS[name](tmp_path, *DETERMINISTIC))
    assert tensorflow_config.is_op_determinism_enabled()
    weights = []
    for _ in range(2):
        model = build_model(prepared.config, prepared.info)
        sums = gpu_programs.take_plain_step(prepared._replace(model=model))
        assert bool(sums["finite"])
        weights.append([weight.numpy() for weight in model.weights])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_determinism_turns_autotuning_off_and_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    for _ in range(2):
        set_numerics(TrainOptions(deterministic=True))
    assert building.os.environ["XLA_FLAGS"].split() == [
        "--xla_cpu_enable_fast_math=false",
        "--xla_gpu_deterministic_ops=true",
        "--xla_gpu_autotune_level=0",
    ]
    assert building.os.environ["TF_CUDNN_USE_AUTOTUNE"] == "0"


@pytest.mark.parametrize("tensor_float_32", [False, True])
def test_exports_are_compared_as_the_products_of_this_process_deserve(monkeypatch, tensor_float_32):
    set_numerics(TrainOptions(tensor_float_32=tensor_float_32))
    assert export._tolerance("float32") == 1e-4  # a CPU has no TensorFloat-32
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU:0"])
    assert export._tolerance("float32") == (1e-2 if tensor_float_32 else 1e-4)
    assert export._tolerance("mixed_bfloat16") == 5e-2
