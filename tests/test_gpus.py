"""Which GPUs a process sees, and what is said where it sees none although there are some."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from attnzoo import gpus
from attnzoo.cli import supervision
from attnzoo.errors import UserError
from attnzoo.training import distribution

CUDA = gpus.VISIBLE_DEVICES


@pytest.mark.parametrize(
    ("given", "count", "shown"),
    [
        (None, 1, "0"),
        (None, 3, "0,1,2"),
        ("5,2,7", 2, "5,2"),
        ("GPU-8932f937,GPU-46ab31c2", 1, "GPU-8932f937"),
        ("3", 2, "3"),
        ("", 1, "-1"),
        ("-1", 2, "-1"),
        (None, 0, "-1"),
        ("0,1", 0, "-1"),
    ],
)
def test_a_process_sees_the_first_gpus_of_those_that_it_may_use(given, count, shown):
    assert gpus.visible_devices(given, count) == shown
    assert gpus.shows_none(shown) is (shown == "-1")


class Machine:
    """A machine with some device files, on which some libraries load."""

    def __init__(self, root, devices, libraries):
        self.root, self.libraries = root, set(libraries)
        for device in devices:
            (root / "dev").mkdir(exist_ok=True)
            (root / "dev" / device).touch()

    def load(self, path):
        if path.rpartition("/")[2] not in self.libraries:
            raise OSError(f"{path}: cannot open shared object file")

    def problem(self, has_cuda=True, log=()):
        return gpus.problem(has_cuda, log, [self.root / "nvidia/cudnn/lib"], self.root, self.load)


EVERYTHING = (gpus.DRIVER, *gpus.LIBRARIES)


@pytest.mark.parametrize("devices", [["nvidiactl"], ["nvidia0"], ["dxg"]])
def test_missing_libraries_are_named_with_what_installs_them(tmp_path, devices):
    there = [name for name in EVERYTHING if "cudnn" not in name and "cufft" not in name]
    problem = Machine(tmp_path, devices, there).problem()
    assert problem == (
        "TensorFlow cannot load libcufft.so.11, libcudnn.so.9; install them: pip install '.[cuda]'"
    )


def test_nothing_is_said_without_an_nvidia_gpu(tmp_path):
    assert Machine(tmp_path, [], []).problem() is None
    # WSL2 has this file for other GPUs too, but not the driver.
    assert Machine(tmp_path, ["dxg"], gpus.LIBRARIES).problem() is None


def test_a_missing_driver_a_build_without_cuda_and_a_driver_that_fails_are_told_apart(tmp_path):
    assert "libcuda.so.1 is missing" in Machine(tmp_path, ["nvidiactl"], gpus.LIBRARIES).problem()
    whole = Machine(tmp_path, ["nvidiactl"], EVERYTHING)
    assert "built without CUDA" in whole.problem(has_cuda=False)
    log = ["E0000 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (804)\n"]
    assert whole.problem(log=log) == (
        "the driver shows no GPU to TensorFlow (UNKNOWN ERROR (804)); see whether nvidia-smi lists it"
    )


START = """
import functools
from pathlib import Path
from attnzoo import gpus, startup
gpus.problem = functools.partial(gpus.problem, root=Path({root!r}))
startup.import_tensorflow()
import os
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["TF_FORCE_GPU_ALLOW_GROWTH"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, ""])
def test_a_command_says_in_one_line_why_it_runs_on_the_cpu(tmp_path, given):
    Machine(tmp_path, ["nvidiactl"], [])
    environment = {name: value for name, value in os.environ.items() if name != CUDA}
    environment |= {} if given is None else {CUDA: given}
    done = subprocess.run(
        [sys.executable, "-c", START.format(root=str(tmp_path))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-1" if given == "" else "0", "true"]
    lines = done.stderr.splitlines()
    assert len(lines) == (given is None)
    if lines:
        start = "attnzoo: warning: this runs on the CPU although there is an NVIDIA GPU: "
        assert lines[0].startswith(start)
        assert lines[0].endswith("(CUDA_VISIBLE_DEVICES= hides the GPU and this line).")


@pytest.mark.parametrize(
    ("error", "has_gpu", "expected"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "device:GPU:0 by allocator GPU_0_bfc"), True, "GPU"),
        (
            tf.errors.ResourceExhaustedError(None, None, "Out of memory while trying to allocate 7"),
            True,
            "GPU",
        ),
        (tf.errors.InternalError(None, None, "cuInit: CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True, "GPU"),
        (tf.errors.InternalError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"), True, "GPU"),
        (tf.errors.ResourceExhaustedError(None, None, "device:CPU:0 by allocator cpu"), True, "machine"),
        (
            tf.errors.ResourceExhaustedError(None, None, "Out of memory while trying to allocate"),
            False,
            "machine",
        ),
        (MemoryError(), True, "machine"),
        (tf.errors.InternalError(None, None, "something else"), True, None),
    ],
)
def test_what_runs_out_of_memory_is_told_apart(monkeypatch, error, has_gpu, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU:0"] * has_gpu)
    lines = {"GPU": supervision.OUT_OF_GPU_MEMORY, "machine": supervision.OUT_OF_MEMORY, None: None}
    assert supervision.memory_problem(error) == lines[expected]
    assert "\n" not in supervision.OUT_OF_GPU_MEMORY


def test_an_operation_that_is_never_deterministic_on_a_gpu_is_one_line():
    text = "A deterministic GPU implementation of X is not currently available.\n\t [[{{node X}}]]"
    assert supervision.determinism_problem(tf.errors.UnimplementedError(None, None, text)) == (
        "train.deterministic: A deterministic GPU implementation of X is not currently available; set "
        "train.xla to true, or this option to false."
    )
    assert supervision.determinism_problem(tf.errors.UnimplementedError(None, None, "X")) is None


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU:0", "GPU:1"])
    with pytest.raises(UserError, match=r"^train\.replicas: 3: this process sees 2 GPUs"):
        distribution.make_strategy(3)
