"""Importing TensorFlow without what its compiled parts write where nothing is wrong."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

_NO_GPU = (b"before absl::InitializeLog", b"Could not find cuda drivers", b"failed call to cuInit")
_ALWAYS = (b"oneDNN custom operations are on",)


_KERAS_SETTINGS = {
    "backend": "tensorflow",
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}
"""What runs need of Keras, which else takes it from ~/.keras/keras.json and KERAS_BACKEND."""


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


ALLOCATOR_LIMIT = "TF_CPU_BFC_MEM_LIMIT_IN_MB"
"""Environment variable: most memory that TensorFlow takes on the host, in MiB."""


def memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """The most resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices.

    What is written to the error stream meanwhile is passed on afterwards, but for the lines that say which
    library computes on the CPU, and that there is no GPU, where there is none. Environment variables that are
    set already stay as they are, but for KERAS_BACKEND.
    """
    changed = _set_keras_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Memory on the host is kept for the next step. Given back to the system after each, as is TensorFlow's
    # default where oneDNN is off, every page is zeroed anew: with large tables that took as long as the
    # training itself.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    os.environ.setdefault(ALLOCATOR_LIMIT, str(memory_bytes() >> 20))
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow as tf

            _set_keras_numbers()
            tf.config.list_physical_devices()
            # One trace for each fixed batch shape is the plan; TensorFlow would warn from the fifth on.
            tf.get_logger().setLevel("ERROR")
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            written.seek(0)
            lines = written.readlines()
            silenced = _ALWAYS if Path("/dev/nvidiactl").exists() else (*_ALWAYS, *_NO_GPU)
            lines = [line for line in lines if not any(text in line for text in silenced)]
            sys.stderr.write(b"".join(lines).decode("utf-8", "replace"))
    if changed:
        sys.stderr.write(
            f"attnzoo: warning: {' and '.join(changed)}: not used, as attnzoo runs on TensorFlow, in "
            "float32, with channels last.\n"
        )


def _set_keras_backend() -> list[str]:
    """Makes Keras run on TensorFlow, and returns what somebody has set in another way."""
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
        found = written.get(name, wanted) if isinstance(written, dict) else wanted
        if found != wanted and not (name == "backend" and backend):
            changed.append(f"{name} {found} of {settings}")
    os.environ["KERAS_BACKEND"] = str(_KERAS_SETTINGS["backend"])
    return changed


def _set_keras_numbers() -> None:
    import keras

    keras.config.set_floatx(_KERAS_SETTINGS["floatx"])
    keras.config.set_epsilon(_KERAS_SETTINGS["epsilon"])
    keras.config.set_image_data_format(_KERAS_SETTINGS["image_data_format"])
