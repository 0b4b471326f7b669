"""Imports TensorFlow with the settings that runs need, and without irrelevant log lines."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attnzoo import gpus

_SILENCED = (
    "oneDNN custom operations are on",
    "before absl::InitializeLog",
    "Could not find cuda drivers",
    gpus.FAILED_CALL,
)


_KERAS_SETTINGS = {
    "backend": "tensorflow",
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}
"""Keras settings that runs need, regardless of ~/.keras/keras.json and KERAS_BACKEND."""


def num_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


ALLOCATOR_LIMIT = "TF_CPU_BFC_MEM_LIMIT_IN_MB"
"""Environment variable with the limit of TensorFlow's host memory in MiB."""


def memory_bytes() -> int:
    """Returns the memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """Returns the peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def import_tensorflow(num_gpus: int = 1) -> None:
    """Imports TensorFlow and lists its devices.

    The process sees no more GPUs than it uses, the first of those in `CUDA_VISIBLE_DEVICES`, and takes their
    memory as it needs it, so that others can run beside it. Where there is an NVIDIA GPU that TensorFlow does
    not see, one line says why.

    Output to the error stream meanwhile is printed afterwards, without lines about oneDNN and about GPUs that
    are not there. Environment variables that are already set are kept, except for KERAS_BACKEND and the rest
    of the GPUs.

    Args:
        num_gpus: GPUs that the process uses, if the machine has them; 0 for none.
    """
    changed = _set_keras_backend()
    hidden = gpus.shows_none(os.environ.get(gpus.VISIBLE_DEVICES)) or num_gpus == 0
    shown = gpus.visible_devices(os.environ.get(gpus.VISIBLE_DEVICES), num_gpus)
    os.environ[gpus.VISIBLE_DEVICES] = shown
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Keeps host memory for the next step. If it is returned to the system after each step, which is
    # TensorFlow's default without oneDNN, every page is zeroed again: with large embedding tables that took
    # as long as the training itself.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    os.environ.setdefault(ALLOCATOR_LIMIT, str(memory_bytes() >> 20))
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow as tf

            _set_keras_numbers()
            has_gpu = bool(tf.config.list_physical_devices("GPU"))
            has_cuda = bool(tf.sysconfig.get_build_info().get("is_cuda_build"))
            # One trace per batch shape is intended; TensorFlow would warn from the fifth on.
            tf.get_logger().setLevel("ERROR")
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            written.seek(0)
            lines = [line.decode("utf-8", "replace") for line in written.readlines()]
            sys.stderr.write("".join(line for line in lines if not any(text in line for text in _SILENCED)))
    if not (has_gpu or hidden):
        _warn_of_unused_gpu(has_cuda, lines, Path(tf.__file__).parents[1])
    if changed:
        sys.stderr.write(
            f"attnzoo: warning: {' and '.join(changed)}: ignored, because attnzoo runs on TensorFlow in "
            "float32 with channels last.\n"
        )


def _warn_of_unused_gpu(has_cuda: bool, log: Sequence[str], packages: Path) -> None:
    """Prints why TensorFlow does not see a GPU of this machine; nothing if there is none."""
    problem = gpus.problem(has_cuda, log, sorted(packages.glob("nvidia/*/lib")))
    if problem is not None:
        sys.stderr.write(
            f"attnzoo: warning: this runs on the CPU although there is an NVIDIA GPU: {problem} "
            f"({gpus.VISIBLE_DEVICES}= hides the GPU and this line).\n"
        )


def _set_keras_backend() -> list[str]:
    """Makes Keras run on TensorFlow, and returns the user's settings that this overrides."""
    changed = []
    backend = os.environ.get("KERAS_BACKEND")
    settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        written = json.loads(settings.read_text("utf-8"))
    except (OSError, ValueError):
        written = {}
    if backend not in (None, "", _KERAS_SETTINGS["backend"]):
        changed.append(f"KERAS_BACKEND={backend}")
    for name, wanted in _KERAS_SETTINGS.items():
        configured = written.get(name, wanted) if isinstance(written, dict) else wanted
        if configured != wanted and not (name == "backend" and backend):
            changed.append(f"{name} {configured} in {settings}")
    os.environ["KERAS_BACKEND"] = str(_KERAS_SETTINGS["backend"])
    return changed


def _set_keras_numbers() -> None:
    import keras

    keras.config.set_floatx(_KERAS_SETTINGS["floatx"])
    keras.config.set_epsilon(_KERAS_SETTINGS["epsilon"])
    keras.config.set_image_data_format(_KERAS_SETTINGS["image_data_format"])
