"""What is traced for which device, on a machine whose GPUs are made up."""

import contextlib

import pytest
import tensorflow as tf

from attnzoo.attention.devices import assumed_gpu, compute_capability, device_type


def show_gpus(monkeypatch, **capabilities):
    """Shows GPUs of these compute capabilities to TensorFlow; None for one that NVIDIA did not make."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(capabilities))
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": capabilities[gpu]} if capabilities[gpu] else {},
    )


def traced(*scopes, outer=None):
    """Returns the device of a function that is traced in a function within nested scopes."""
    found = []

    def inner():
        found.append(device_type())
        return tf.constant(0)

    def function():
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(tf.device(scope))
            return tf.function(inner, autograph=False)()

    with tf.device(outer):
        tf.function(function, autograph=False).get_concrete_function()
    return found[0]


def test_without_a_gpu_everything_is_for_the_cpu():
    assert (device_type(), traced(), compute_capability()) == ("CPU", "CPU", None)


@pytest.mark.parametrize("assumed", [False, True])
def test_the_innermost_scope_decides_and_a_gpu_where_there_is_none(monkeypatch, assumed):
    if assumed:
        gpu = assumed_gpu()
    else:
        show_gpus(monkeypatch, one=(9, 0))
        gpu = contextlib.nullcontext()
    with gpu:
        assert device_type() == traced() == "GPU"
        with tf.device("CPU"):
            assert device_type() == "CPU"
        assert traced(outer="/CPU:0") == "CPU"
        assert traced("/CPU:0") == "CPU"
        assert traced("/GPU:0", "/CPU:0") == "CPU"
        assert traced("/CPU:0", "/GPU:0") == "GPU"
        assert traced("/CPU:0", "/job:localhost") == "CPU"
        assert traced("/CPU:0", None) == "GPU"
        assert traced(None, "/CPU:0") == "CPU"


def test_the_oldest_gpu_limits_what_is_compiled_for_all(monkeypatch):
    show_gpus(monkeypatch, old=(7, 5), new=(9, 0))
    assert compute_capability() == (7, 5)
    show_gpus(monkeypatch, new=(9, 0), other=None)
    assert compute_capability() is None
    with assumed_gpu((8, 6)):
        assert compute_capability() == (8, 6)
