"""Importing TensorFlow without what its compiled parts write where nothing is wrong."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path

_NO_GPU = (b"before absl::InitializeLog", b"Could not find cuda drivers", b"failed call to cuInit")
_ALWAYS = (b"oneDNN custom operations are on",)


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
    set already stay as they are.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Memory on the host is kept for the next step. Given back to the system after each, as is TensorFlow's
    # default where oneDNN is off, every page is zeroed anew: with large tables that took as long as the
    # training itself.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(memory_bytes() >> 20))
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow as tf

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
