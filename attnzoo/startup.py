"""Importing TensorFlow without what its compiled parts write on machines that have no GPU."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_NO_GPU = (b"before absl::InitializeLog", b"Could not find cuda drivers", b"failed call to cuInit")


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices.

    What is written to the error stream meanwhile is passed on afterwards, but for the lines that say that
    there is no GPU, where there is none.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
            if not Path("/dev/nvidiactl").exists():
                lines = [line for line in lines if not any(text in line for text in _NO_GPU)]
            sys.stderr.write(b"".join(lines).decode("utf-8", "replace"))
